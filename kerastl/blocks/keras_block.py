"""A slice of a Keras model as one layer."""

from __future__ import annotations

from collections import Counter
from typing import Any

import keras

from kerastl.backbones.base import BackbonePart
from kerastl.blocks.batch_norm import FROZEN, TRAIN
from kerastl.blocks.copying import config_with_part, copied_block
from kerastl.internals.keras_norms import layers_with_statistics, set_keeps_statistics


class KerasBlock(keras.layers.Layer):
    """One block of a Keras network, its layers shared and not copied.

    A layer with `trainable=False` runs in inference mode whatever `training`
    says. Marking alone is not enough: Keras's dropout inside a layer that does
    not train still fires under `training=True`. With `batch_norm="frozen"` its
    batch norms alone run in inference mode while it trains.

    Args:
        part: Name of the block and its `keras.Model`.
    """

    def __init__(self, part: BackbonePart, **kwargs: Any) -> None:
        super().__init__(name=part.name, **kwargs)
        self.network = part.network
        if keras.backend.backend() == "torch":
            from kerastl.internals.torch_kernels import use_torch_kernels

            use_torch_kernels(self.network)
        self._batch_norm = TRAIN
        self.built = True

    def copied_part(self) -> BackbonePart:
        """The network as it is now, with a copy of its weights."""
        network = keras.models.clone_model(self.network)
        network.set_weights(self.network.get_weights())
        return BackbonePart(self.name, network)

    def get_config(self) -> dict[str, Any]:
        return config_with_part(super().get_config(), self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> KerasBlock:
        layer: KerasBlock = copied_block(cls, config)
        return layer

    @property
    def has_moving_statistics(self) -> bool:
        """Whether the block has batch norms, or others with moving statistics."""
        return bool(layers_with_statistics(self.network))

    @property
    def batch_norm(self) -> str:
        """What its batch norms do while it trains: see `kerastl.blocks.batch_norm`."""
        return self._batch_norm

    @batch_norm.setter
    def batch_norm(self, mode: str) -> None:
        self._batch_norm = mode
        for layer in layers_with_statistics(self.network):
            set_keeps_statistics(layer, mode == FROZEN)

    def layer_counts(self) -> Counter[str]:
        """How many layers of each type the block holds."""
        return Counter(
            type(layer).__name__
            for layer in self.network.layers
            if not isinstance(layer, keras.layers.InputLayer)
        )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.network(inputs, training=bool(training) and self.trainable)

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        outputs = keras.tree.map_structure(
            lambda tensor: keras.KerasTensor((None, *tensor.shape[1:]), dtype=self.compute_dtype),
            self.network.outputs,
        )
        return outputs[0] if len(outputs) == 1 else outputs
