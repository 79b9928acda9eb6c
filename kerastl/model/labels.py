"""Whether labels are ones that the loss in use can take, before it trains on wrong ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from kerastl.data.class_weights import weight_row
from kerastl.model.losses import Crossentropy


@dataclass(frozen=True)
class LabelRange:
    """The class numbers that a loss takes.

    Attributes:
        highest: The highest class; the lowest is 0.
        ignored: A label of images that do not count, or None.
    """

    highest: int
    ignored: int | None = None


def label_range(loss: Any, num_classes: int) -> LabelRange | None:
    """The class numbers that a loss takes; None where it takes others, or that is not known.

    Args:
        loss: What `compile` has: a Keras loss, its function or name, or a list
            or dict of one.
        num_classes: Outputs of the classifier.
    """
    if isinstance(loss, dict):
        loss = list(loss.values())
    if isinstance(loss, list | tuple):
        loss = loss[0] if len(loss) == 1 else None
    if isinstance(loss, str):
        loss = keras.losses.get(loss)
    sparse, binary = keras.losses.SparseCategoricalCrossentropy, keras.losses.BinaryCrossentropy
    if isinstance(loss, sparse):
        return LabelRange(num_classes - 1, loss.get_config().get("ignore_class"))
    if isinstance(loss, Crossentropy) or loss is keras.losses.sparse_categorical_crossentropy:
        return LabelRange(num_classes - 1)
    is_binary = isinstance(loss, binary | keras.losses.BinaryFocalCrossentropy)
    if is_binary or loss is keras.losses.binary_crossentropy:
        return LabelRange(1)
    return None


def takes_shares(loss: Any) -> bool:
    """Whether a loss is of shares of classes, a sum over the classes with theirs as factors.

    Args:
        loss: What `compile` has.
    """
    kinds = (
        Crossentropy,
        keras.losses.CategoricalCrossentropy,
        keras.losses.CategoricalFocalCrossentropy,
        keras.losses.BinaryCrossentropy,
    )
    if isinstance(loss, list | tuple) and len(loss) == 1:
        (loss,) = loss
    if isinstance(loss, dict) and len(loss) == 1:
        (loss,) = loss.values()
    if isinstance(loss, str):
        loss = keras.losses.get(loss)
    functions = (keras.losses.categorical_crossentropy, keras.losses.binary_crossentropy)
    return isinstance(loss, kinds) or any(loss is each for each in functions)


def weighed_labels(labels: Any, weights: Mapping[int, float], num_classes: int) -> Any:
    """Shares of classes such that, times an image's weight, each counts by its own class.

    The weight of an image is the mean of its classes' weights: with `w` for
    these and `t` for the shares, `(sum w t / sum t) t' = w t`. Class numbers
    stay as they are.

    Args:
        labels: Of a batch, of any kind.
        weights: Weight of each class; 1 for the others.
        num_classes: Outputs of the classifier.
    """
    shape = tuple(getattr(labels, "shape", ()))
    if num_classes == 1:
        first, second = weight_row(weights, 2)
        shares = ops.cast(labels, "float32")
        total = first * (1 - shares) + second * shares
        return ops.where(total > 0, second * shares / ops.where(total > 0, total, 1), shares)
    if len(shape) != 2 or shape[1] != num_classes:
        return labels
    shares = ops.cast(labels, "float32")
    weighed = shares * ops.convert_to_tensor(weight_row(weights, num_classes), "float32")
    weight = ops.sum(weighed, -1, keepdims=True) / ops.sum(shares, -1, keepdims=True)
    return ops.where(weight > 0, weighed / ops.where(weight > 0, weight, 1), shares)


def check_labels(labels: Any, allowed: LabelRange | None, num_classes: int) -> None:
    """Refuse class numbers that the loss would turn into no class at all.

    One-hot labels, and what Keras says better itself, pass.

    Args:
        labels: `(images,)` or `(images, 1)`, alone or in a list or dict of one.
        allowed: What the loss takes. None: anything.
        num_classes: Outputs of the classifier.

    Raises:
        ValueError: Naming the first label that is out of range.
    """
    if allowed is None:
        return
    if isinstance(labels, dict):
        labels = list(labels.values())
    if isinstance(labels, list | tuple) and len(labels) == 1:
        (labels,) = labels
    try:
        values = np.asarray(keras.ops.convert_to_numpy(labels))
    except (TypeError, ValueError, RuntimeError):
        return
    values = values[..., 0] if values.ndim == 2 and values.shape[-1] == 1 else values
    if values.ndim != 1 or values.size == 0 or not np.issubdtype(values.dtype, np.number):
        return
    is_wrong = (values < 0) | (values > allowed.highest)
    if allowed.ignored is not None:
        is_wrong &= values != allowed.ignored
    wrong = values[is_wrong]
    if wrong.size:
        raise ValueError(
            f"Labels must be from 0 to {allowed.highest} for num_classes={num_classes}. "
            f"Received: {wrong.size} others, such as {wrong[0]}. "
            "Build the classifier with the number of classes of the data."
        )


def check_batch_labels(labels: Any, allowed: LabelRange | None, num_classes: int) -> None:
    """The same for one batch, where its labels are still in main memory.

    Keras's one-hot turns a label that is out of range into no class at all,
    so that nothing would stop a wrong set from training.
    """
    device = getattr(labels, "device", None)
    if getattr(device, "type", None) == "cpu" or isinstance(labels, np.ndarray):
        check_labels(labels, allowed, num_classes)
