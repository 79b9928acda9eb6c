"""Cross-entropies taken from the logits behind the model's probabilities.

The model gives probabilities. A cross-entropy of rounded probabilities has no
gradient where the right class got less than 1e-7; Keras's softmax and sigmoid
keep the logits on the tensor that they return, and these losses use them where
they are there. They are otherwise Keras's own.
"""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="kerastl")
class SparseCategoricalCrossentropy(keras.losses.SparseCategoricalCrossentropy):
    """Cross-entropy with integer labels `(batch,)`."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        logits = _logits_of(y_pred)
        if logits is None:
            return super().call(y_true, y_pred)
        exact = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        return exact.call(y_true, logits)


@keras.saving.register_keras_serializable(package="kerastl")
class CategoricalCrossentropy(keras.losses.CategoricalCrossentropy):
    """Cross-entropy with one-hot labels `(batch, num_classes)`."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        logits = _logits_of(y_pred)
        if logits is None:
            return super().call(y_true, y_pred)
        exact = keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=self._fn_kwargs["label_smoothing"]
        )
        return exact.call(y_true, logits)


@keras.saving.register_keras_serializable(package="kerastl")
class BinaryCrossentropy(keras.losses.BinaryCrossentropy):
    """Cross-entropy with labels 0 and 1, `(batch,)` or `(batch, 1)`."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        logits = _logits_of(y_pred)
        if logits is None:
            return super().call(y_true, y_pred)
        exact = keras.losses.BinaryCrossentropy(
            from_logits=True, label_smoothing=self._fn_kwargs["label_smoothing"]
        )
        return exact.call(y_true, logits)


BY_NAME: dict[str, type[keras.losses.Loss]] = {
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "binary_crossentropy": BinaryCrossentropy,
}


# JAX's tracers take no attributes: there, the last probabilities and their logits.
_last: list[Any] = [None, None]


def keep_logits(probabilities: Any, logits: Any) -> None:
    """Remember the logits behind probabilities, where Keras cannot."""
    _last[:] = (probabilities, logits) if keras.backend.backend() == "jax" else (None, None)


def _logits_of(probabilities: Any) -> Any:
    if probabilities is not None and probabilities is _last[0]:
        return _last[1]
    return getattr(probabilities, "_keras_logits", None)
