"""Images and labels that are already arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kerastl.data.class_names import NumberName
from kerastl.data.items import ArrayItems, SourceData
from kerastl.data.tasks import CLASSIFICATION, MULTI_LABEL, REGRESSION

# Fractions up to here are images scaled to 0-1, and what resampling adds to them.
_DARKEST = 3


def array_data(
    images: Any,
    labels: Any,
    *,
    class_names: Sequence[str] | None = None,
    task: str = CLASSIFICATION,
) -> SourceData:
    """Arrays as a source without parts of its own.

    Args:
        images: Pixels 0-255, integer or float, `(images, height, width, 3)`,
            `(images, height, width, 1)` or `(images, height, width)`.
        labels: Class of each image, whole numbers from 0, `(images,)`; 0 or 1
            for each class, `(images, classes)`; or numbers, `(images,)` or
            `(images, numbers)`.
        class_names: Name of each class, or number to predict; by default its
            position.
        task: What the labels are, one of `kerastl.data.tasks.TASKS`.

    Returns:
        The images as 8-bit RGB; floats are rounded.

    Raises:
        TypeError: If the labels are not whole numbers.
        ValueError: If shapes do not fit, or a value is outside its range.
    """
    pixels = _checked_images(np.asarray(images))
    if task != CLASSIFICATION:
        rows = _label_rows(np.asarray(labels), task, num_images=len(pixels))
        names = _names(class_names, rows.shape[1])
        return SourceData(parts={"train": ArrayItems(pixels, rows)}, class_names=names)
    classes = _checked_labels(np.asarray(labels), num_images=len(pixels))
    num_classes = int(classes.max()) + 1 if class_names is None else len(class_names)
    _check_range(classes, num_classes)
    names = _names(class_names, num_classes)
    return SourceData(parts={"train": ArrayItems(pixels, classes)}, class_names=names)


def _names(given: Sequence[str] | None, count: int) -> tuple[str, ...]:
    if given is None:
        return tuple(NumberName(number) for number in range(count))
    return tuple(map(str, given))


def _checked_images(images: np.ndarray) -> np.ndarray:
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape:
        raise ValueError(
            "`images` must have the shape (images, height, width), with 1 or 3 channels after it "
            f"or none. Received: images of shape {images.shape}."
        )
    if images.dtype.kind not in "uif":
        raise TypeError(f"`images` must hold numbers. Received: images of type {images.dtype}.")
    if images.dtype != np.uint8:
        low, high = images.min(), images.max()
        # Written so that NaN fails too.
        if not (low >= 0 and high <= 255):
            raise ValueError(
                f"`images` must hold pixels 0-255. Received: values from {low} to {high}."
            )
        is_fraction = images.dtype.kind == "f" and 0 < high < _DARKEST
        if is_fraction and (high <= 1 or not np.array_equal(images, np.rint(images))):
            raise ValueError(
                "`images` must hold pixels 0-255. Received: floats of at most "
                f"{high}, which look scaled to 0-1. Multiply them by 255."
            )
        images = np.rint(images).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(images, (*images.shape[:3], 3)))


def _label_rows(labels: np.ndarray, task: str, *, num_images: int) -> np.ndarray:
    """Several labels, or numbers, of each image, float32, `(images, classes or numbers)`."""
    if task == REGRESSION and labels.ndim == 1:
        labels = labels[:, None]
    if labels.ndim != 2 or len(labels) != num_images or labels.dtype.kind not in "buif":
        raise ValueError(
            f"`labels` must have a row of numbers for each of the {num_images} images with "
            f"task={task!r}. Received: {labels.dtype} of shape {labels.shape}."
        )
    rows = labels.astype(np.float32)
    if not np.isfinite(rows).all() or (task == MULTI_LABEL and not np.isin(rows, (0, 1)).all()):
        wanted = "0 or 1" if task == MULTI_LABEL else "finite numbers"
        raise ValueError(f"`labels` must hold {wanted} with task={task!r}. Received: others.")
    return rows


def _checked_labels(labels: np.ndarray, *, num_images: int) -> np.ndarray:
    if labels.ndim != 1:
        raise ValueError(
            "`labels` must be one class number per image, not one-hot. "
            f"Received: labels of shape {labels.shape}."
        )
    if labels.dtype.kind not in "ui":
        raise TypeError(
            f"`labels` must be whole numbers. Received: labels of type {labels.dtype}. "
            "Give each class a number from 0."
        )
    if len(labels) != num_images:
        raise ValueError(
            f"`labels` must be as many as the images, {num_images}. Received: {len(labels)} labels."
        )
    return labels.astype(np.int64)


def _check_range(labels: np.ndarray, num_classes: int) -> None:
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= num_classes:
        raise ValueError(
            f"`labels` must lie between 0 and {num_classes - 1}. "
            f"Received: labels from {low} to {high}."
        )
    if num_classes < 2:
        raise ValueError("`labels` must name at least two classes. Received: labels all 0.")
    present = np.unique(labels)
    if len(present) < num_classes:
        missing = next(number for number in range(num_classes) if number not in set(present))
        raise ValueError(
            "`labels` must use every class number from 0 on. "
            f"Received: {len(present)} classes of {num_classes}, without class {missing}. "
            "Number the classes without gaps."
        )
