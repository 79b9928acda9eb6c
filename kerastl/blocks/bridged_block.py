"""A torch module as one Keras layer on JAX and TensorFlow."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import torch
from torch import nn

from kerastl.backbones.base import BackbonePart
from kerastl.blocks.batch_norm import TRAIN, torch_norms
from kerastl.blocks.bridge.call import Call
from kerastl.blocks.bridge.graph import BridgedGraph
from kerastl.blocks.bridge.layouts import Value, image, plain
from kerastl.blocks.copying import config_with_part, copied_block
from kerastl.blocks.named_variables import flat_name, load_named, save_named
from kerastl.errors import ConversionError, reason_of


class TorchBlock(keras.layers.Layer):
    """One block of a torch network, run with `keras.ops`.

    Has the name of the layer that runs the torch module itself, because a
    `.keras` file keeps a layer's variables under the name of its class: a
    file of one backend opens on the others.

    Variables have torch's shapes and names on every backend. So the state of
    any optimizer moves between backends with them.

    A layer with `trainable=False` runs in inference mode whatever `training`
    says. With `batch_norm="frozen"` its batch norms alone do so while it
    trains. Under a mixed-precision policy convolutions and matrix products
    compute in the policy's type, norms and softmax in float32.

    Args:
        part: Name, module and axis order of the block.

    Attributes:
        batch_norm: What its batch norms do while it trains: see
            `kerastl.blocks.batch_norm`.
        has_moving_statistics: Whether it has batch norms, or others with
            running statistics.

    Raises:
        ConversionError: If the module has an operation without a counterpart.
    """

    def __init__(self, part: BackbonePart, **kwargs: Any) -> None:
        super().__init__(name=part.name, **kwargs)
        self._input_layout = part.input_layout
        self._output_layout = part.output_layout
        self._counts = _module_counts(part.network)
        self.has_moving_statistics = bool(torch_norms(part.network))
        self.batch_norm = TRAIN
        self.stochastic = True
        self._image_shape: tuple[int | None, ...] | None = None
        self.seed_generator = keras.random.SeedGenerator()
        # Past Keras's tracker, which would wrap the dict.
        object.__setattr__(self, "_named", _variables(part.network, self.variable_dtype))
        self.torch_variables = list(self._named.values())
        # Only the structure is needed from here on: the numbers live in the variables.
        network = part.network.to("meta")
        object.__setattr__(self, "_part", replace(part, network=network))
        object.__setattr__(self, "_graph", BridgedGraph(network, name=part.name))
        self.built = True

    def named_variables(self) -> dict[str, Any]:
        """Keras variable by the parameter's or buffer's qualified torch name."""
        return dict(self._named)

    def copied_part(self) -> BackbonePart:
        """The network as it is now, with a copy of its weights."""
        network = copy.deepcopy(self._part.network).to_empty(device="cpu")
        tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
        with torch.no_grad():
            for name, variable in self._named.items():
                values = np.array(keras.ops.convert_to_numpy(variable.value))
                tensors[name].copy_(torch.from_numpy(values))
        return replace(self._part, network=network)

    def layer_counts(self) -> Counter[str]:
        """How many modules of each type the block holds, containers aside."""
        return Counter(self._counts)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        training = bool(training) and self.trainable
        call = Call(
            training,
            self.seed_generator,
            self.compute_dtype,
            self.stochastic,
            training and self.batch_norm == TRAIN,
        )
        values = {
            name: Value(variable.value, tuple(range(len(variable.shape))), variable)
            for name, variable in self._named.items()
        }
        inputs = self._with_known_size(inputs)
        is_image = self._input_layout == "NCHW" and len(inputs.shape) == 4
        outputs = self._graph(call, image(inputs) if is_image else plain(inputs), values)
        if self._output_layout == "NCHW" and outputs.ndim == 4:
            tensor = outputs.channels_last()
        else:
            tensor = outputs.in_torch_order()
        return keras.ops.cast(tensor, self.compute_dtype)

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        self._image_shape = tuple(inputs.shape[1:])
        try:
            spec = super().compute_output_spec(inputs)
        except Exception as error:
            if isinstance(error, ConversionError):
                raise
            raise ValueError(
                f"Block {self.name!r} cannot take an input of shape {inputs.shape} "
                f"({reason_of(error)})."
            ) from error
        if 0 in spec.shape:
            raise ValueError(
                f"Block {self.name!r} cannot take an input of shape {inputs.shape} "
                "(nothing is left of it)."
            )
        return keras.KerasTensor((inputs.shape[0], *spec.shape[1:]), dtype=self.compute_dtype)

    def _with_known_size(self, inputs: Any) -> Any:
        """TensorFlow may have lost the size of the images on the way through its data."""
        if self._image_shape is None or None not in inputs.shape[1:]:
            return inputs
        return keras.ops.reshape(inputs, (-1, *self._image_shape))

    def save_own_variables(self, store: Any) -> None:
        save_named(self._named, store)

    def load_own_variables(self, store: Any) -> None:
        load_named(self._named, store, block=self.name)

    def get_config(self) -> dict[str, Any]:
        return config_with_part(super().get_config(), self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TorchBlock:
        layer: TorchBlock = copied_block(cls, config)
        return layer


def _variables(module: nn.Module, dtype: str) -> dict[str, keras.Variable]:
    """A Keras variable per parameter and buffer, with torch's shape."""
    made = {}
    for trainable, tensors in (
        (True, module.named_parameters()),
        (False, module.named_buffers()),
    ):
        for name, tensor in tensors:
            array = tensor.detach().cpu().numpy()
            made[name] = keras.Variable(
                array,
                trainable=trainable,
                dtype=dtype if tensor.is_floating_point() else "int32",
                autocast=False,
                name=flat_name(name),
            )
    return made


def _module_counts(module: nn.Module) -> dict[str, int]:
    leaves = (each for each in module.modules() if not any(True for _ in each.children()))
    return dict(Counter(type(each).__name__ for each in leaves))
