"""The classification part: dropout, hidden layers, Dense, probabilities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from kerastl.internals.logits import keep_logits
from kerastl.internals.precision import at_least_float32


@keras.saving.register_keras_serializable(package="kerastl")
class ClassificationHead(keras.layers.Layer):
    """Pooled features to class probabilities, or to numbers.

    Takes `(batch, features)`; gives `(batch, num_classes)` float32, or float64
    under that dtype policy.

    Args:
        num_classes: Number of classes; 1 for one probability per image.
        hidden_units: Units of each hidden layer, ReLU between them.
        dropout: Rate of the dropout in front of every Dense layer.
        activation: "softmax", "sigmoid" or "linear". None: a sigmoid where
            `num_classes` is 1, else softmax.
        temperature: What the logits are divided by, in training as well, so
            that `fit`, `predict` and the saved file agree. It changes how sure
            the probabilities are and not which class comes first.
        dense: What `enable_lora` and `quantize` have made of Dense layers, as
            `dense_options` has it.

    Raises:
        ValueError: If the temperature is not above 0.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        hidden_units: Sequence[int] = (),
        dropout: float = 0.0,
        activation: str | None = None,
        temperature: float = 1.0,
        dense: Mapping[str, Mapping[str, Any]] | None = None,
        **kwargs: Any,
    ) -> None:
        if not 0 < temperature < float("inf"):
            raise ValueError(
                f"`temperature` must be above 0. Received: temperature={temperature}. "
                "1.0 leaves the logits as they are."
            )
        super().__init__(**kwargs)
        self.activation = activation or ("sigmoid" if num_classes == 1 else "softmax")
        self.num_classes = num_classes
        self.hidden_units = tuple(hidden_units)
        self.dropout = dropout
        self.temperature = temperature
        self.stochastic = True
        self._dense = dict(dense or {})
        self.hidden = [
            keras.layers.Dense(units, activation="relu", name=f"hidden{i}")
            for i, units in enumerate(self.hidden_units, 1)
        ]
        self.dropouts = [
            keras.layers.Dropout(dropout, name=f"dropout{i}")
            for i in range(len(self.hidden) + 1)
            if dropout
        ]
        self.logits = keras.layers.Dense(num_classes, name="logits")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        width = input_shape[-1]
        for layer in (*self.hidden, self.logits):
            layer.build((None, width))
            width = layer.units
        for layer in self.dropouts:
            layer.build((None, width))
        self.adapt_dense(self._dense)
        self.built = True

    def call(self, features: Any, training: bool | None = None) -> Any:
        logits = self.logits_of(features, training=bool(training) and self.trainable)
        if self.temperature != 1.0:
            logits = logits / self.temperature
        # Keras's activations keep the logits on the tensor they return, from
        # which `kerastl.model.losses` takes the loss without rounding.
        probabilities = keras.activations.get(self.activation)(logits)
        keep_logits(probabilities, logits)
        return probabilities

    def logits_of(self, features: Any, *, training: bool) -> Any:
        """What the probabilities are made of, before the temperature.

        Returns:
            `(batch, num_classes)`, float32 or float64.
        """
        for index, layer in enumerate((*self.hidden, self.logits)):
            if self.dropouts and self.stochastic:
                features = self.dropouts[index](features, training=training)
            features = layer(features)
        return keras.ops.cast(features, self._output_type)

    def compute_output_spec(self, features: Any, training: bool | None = None) -> Any:
        return keras.KerasTensor((features.shape[0], self.num_classes), dtype=self._output_type)

    @property
    def _output_type(self) -> str:
        """Probabilities keep the precision of the variables, and are never in half of float32's."""
        return at_least_float32(self.variable_dtype)

    def dense_options(self) -> dict[str, dict[str, Any]]:
        """What `enable_lora` and `quantize` made of Dense layers: layer's name -> its options."""
        options = {}
        for layer in (*self.hidden, self.logits):
            if layer.lora_rank or layer.quantization_mode:
                config = layer.get_config()
                options[layer.name] = {
                    "quantization_mode": layer.quantization_mode,
                    "quantization_config": config.get("quantization_config"),
                    "lora_rank": config.get("lora_rank"),
                    "lora_alpha": config.get("lora_alpha"),
                }
        return options

    def adapt_dense(self, options: Mapping[str, Mapping[str, Any]]) -> None:
        """Do to Dense layers that are built what `dense_options` describes; weights come after."""
        for layer in (*self.hidden, self.logits):
            if layer.name not in options:
                continue
            given = options[layer.name]
            if mode := given["quantization_mode"]:
                config = keras.saving.deserialize_keras_object(given["quantization_config"])
                layer.quantize(mode, config=config)
            if rank := given["lora_rank"]:
                layer.enable_lora(rank, lora_alpha=given["lora_alpha"])

    def layer_counts(self) -> Counter[str]:
        """How many layers of each type the head holds."""
        return Counter(
            type(layer).__name__ for layer in (*self.dropouts, *self.hidden, self.logits)
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "hidden_units": list(self.hidden_units),
            "dropout": self.dropout,
            "activation": self.activation,
            "temperature": self.temperature,
            "dense": self.dense_options(),
        }
