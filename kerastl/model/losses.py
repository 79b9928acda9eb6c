"""Losses computed from the logits behind the probabilities.

The model gives probabilities. A cross-entropy of rounded probabilities has no
gradient where the right class got less than 1e-7; Keras's softmax and sigmoid
keep the logits on the tensor that they return, and these losses use them where
they are there. They are otherwise Keras's own.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kerastl.data.tasks import CLASSIFICATION, MULTI_LABEL
from kerastl.internals.logits import logits_of
from kerastl.internals.metric_direction import mark_more_is_better
from kerastl.internals.precision import at_least_float32


@keras.saving.register_keras_serializable(package="kerastl")
class SparseCategoricalCrossentropy(keras.losses.SparseCategoricalCrossentropy):
    """Cross-entropy with integer labels `(batch,)`."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        logits = logits_of(y_pred)
        if logits is None:
            return super().call(y_true, y_pred)
        return _of_logits(keras.losses.SparseCategoricalCrossentropy, self).call(y_true, logits)


@keras.saving.register_keras_serializable(package="kerastl")
class CategoricalCrossentropy(keras.losses.CategoricalCrossentropy):
    """Cross-entropy with one-hot labels `(batch, num_classes)`."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        logits = logits_of(y_pred)
        if logits is None:
            return super().call(y_true, y_pred)
        return _of_logits(keras.losses.CategoricalCrossentropy, self).call(y_true, logits)


@keras.saving.register_keras_serializable(package="kerastl")
class BinaryCrossentropy(keras.losses.BinaryCrossentropy):
    """Cross-entropy with labels 0 and 1, `(batch,)` or `(batch, 1)`."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        logits = logits_of(y_pred)
        if logits is None:
            return super().call(y_true, y_pred)
        return _of_logits(keras.losses.BinaryCrossentropy, self).call(y_true, logits)


@keras.saving.register_keras_serializable(package="kerastl")
class Crossentropy(keras.losses.Loss):
    """Cross-entropy with class numbers `(batch,)` or shares of classes `(batch, num_classes)`.

    With targets t and probabilities p it is the sum over the classes of
    `-t (1 - p)^focal log(p)`, where t is what was given, smoothed:
    `(1 - label_smoothing) t + label_smoothing / num_classes`.

    Args:
        label_smoothing: Share of the target that is spread over all classes
            (Szegedy et al., 2016).
        focal: Focusing exponent of focal loss (Lin et al., 2017); 0: plain
            cross-entropy.
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        focal: float = 0.0,
        name: str = "crossentropy",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.label_smoothing = label_smoothing
        self.focal = focal

    def call(self, y_true: Any, y_pred: Any) -> Any:
        logits = logits_of(y_pred)
        if logits is None:
            logits = ops.log(ops.maximum(y_pred, keras.config.epsilon()))
        precise = at_least_float32(logits.dtype)
        logits = ops.cast(logits, precise)
        is_plain = not (self.focal or self.label_smoothing)
        if is_plain and not _are_shares(y_true, logits.shape[-1]):
            # The same sum in fewer operations.
            numbers = _as_numbers(y_true)
            return ops.sparse_categorical_crossentropy(numbers, logits, from_logits=True)
        log_probabilities = ops.log_softmax(logits, axis=-1)
        targets = ops.cast(as_shares(y_true, log_probabilities.shape[-1]), precise)
        smoothing = self.label_smoothing
        targets = (1 - smoothing) * targets + smoothing / log_probabilities.shape[-1]
        terms = targets * log_probabilities
        if self.focal:
            terms = terms * (1 - ops.exp(log_probabilities)) ** self.focal
        return -ops.sum(terms, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "label_smoothing": self.label_smoothing,
            "focal": self.focal,
        }


@keras.saving.register_keras_serializable(package="kerastl")
class BinaryFocalCrossentropy(keras.losses.BinaryFocalCrossentropy):
    """Focal loss with labels 0 and 1 (Lin et al., 2017)."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        logits = logits_of(y_pred)
        if logits is None:
            return super().call(y_true, y_pred)
        return _of_logits(keras.losses.BinaryFocalCrossentropy, self).call(y_true, logits)


@keras.saving.register_keras_serializable(package="kerastl")
class Accuracy(keras.metrics.MeanMetricWrapper):
    """Share of the images whose most probable class is the labelled one.

    Labels are class numbers `(batch,)`, or shares of classes, of which the
    largest counts.
    """

    def __init__(self, name: str = "accuracy", dtype: Any = None) -> None:
        super().__init__(_hits, name=name, dtype=dtype)
        mark_more_is_better(self)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}


def _of_logits(kind: type[keras.losses.Loss], loss: keras.losses.Loss) -> keras.losses.Loss:
    """Keras's loss as the user set ours, taken from the logits."""
    # Past the `get_config` of a subclass, whose arguments Keras's loss does not know.
    return kind(**{**kind.get_config(loss), "from_logits": True})


def as_shares(labels: Any, num_classes: int) -> Any:
    """Class numbers as one-hot rows; rows of shares as they are, float32."""
    if _are_shares(labels, num_classes):
        return ops.cast(labels, "float32")
    return ops.one_hot(_as_numbers(labels), num_classes)


def _are_shares(labels: Any, num_classes: int) -> bool:
    return len(labels.shape) == 2 and labels.shape[-1] == num_classes


def _as_numbers(labels: Any) -> Any:
    return ops.reshape(ops.cast(labels, "int32"), (-1,))


def _hits(y_true: Any, y_pred: Any) -> Any:
    are_shares = _are_shares(y_true, y_pred.shape[-1])
    targets = ops.argmax(y_true, axis=-1) if are_shares else _as_numbers(y_true)
    predicted = ops.cast(ops.argmax(y_pred, axis=-1), targets.dtype)
    return ops.cast(ops.equal(targets, predicted), "float32")


def loss_of(
    task: str,
    *,
    num_classes: int | None = None,
    label_smoothing: float = 0.0,
    focal: float | None = None,
) -> Any:
    """The default loss of a task.

    Args:
        task: One of `kerastl.data.tasks.TASKS`.
        num_classes: Outputs of the classifier; 1 makes classification binary.
        label_smoothing: Share of the target that is spread over all classes.
        focal: Focusing exponent of focal loss, or None.

    Raises:
        ValueError: If a regression is given either.
    """
    if task == CLASSIFICATION and num_classes != 1:
        return Crossentropy(label_smoothing, focal or 0.0)
    if task in (CLASSIFICATION, MULTI_LABEL):
        if focal:
            return BinaryFocalCrossentropy(gamma=focal, label_smoothing=label_smoothing)
        return BinaryCrossentropy(label_smoothing=label_smoothing)
    if label_smoothing or focal:
        raise ValueError(
            "`label_smoothing` and `focal` must be left out of a regression, which has no classes. "
            f"Received: label_smoothing={label_smoothing}, focal={focal}."
        )
    return keras.losses.MeanSquaredError()


BY_NAME: dict[str, type[keras.losses.Loss]] = {
    "crossentropy": Crossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "binary_crossentropy": BinaryCrossentropy,
}
