"""Evaluate a classifier on labelled images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from kerastl.data.tasks import CLASSIFICATION, MULTI_LABEL, REGRESSION
from kerastl.evaluation.scores import Evaluation, MultiLabelEvaluation, RegressionEvaluation

# The smallest probability that a loss is taken of: the loss in `fit`, from logits, has no such end.
_SMALLEST = float(np.finfo(np.float32).tiny)


AnyEvaluation = Evaluation | MultiLabelEvaluation | RegressionEvaluation


def evaluate(model: Any, batches: Iterable[Any], class_names: Sequence[str]) -> AnyEvaluation:
    """Predict every image once and compare with the labels.

    Args:
        model: A classifier.
        batches: Pairs of images and labels.
        class_names: Every class, or number to predict, in the order of the
            model's outputs.

    Raises:
        ValueError: If there is no image.
    """
    truth, given = _labels_and_outputs(model, batches)
    return as_evaluation(getattr(model, "task", CLASSIFICATION), class_names, truth, given)


def as_evaluation(
    task: str, class_names: Sequence[str], labels: np.ndarray, outputs: np.ndarray
) -> AnyEvaluation:
    """What a model gave, with the labels.

    Args:
        task: What the labels are, one of `kerastl.data.tasks.TASKS`.
        class_names: Every class, or number to predict, in the order of the outputs.
        labels: As the data have them, `(images, ...)`.
        outputs: As `predict` gives them, `(images, ...)`.
    """
    if task == MULTI_LABEL:
        return MultiLabelEvaluation(class_names, labels, outputs)
    if task == REGRESSION:
        return RegressionEvaluation(class_names, labels, outputs)
    return Evaluation(class_names, class_of(labels), as_columns(outputs))


def class_of(labels: np.ndarray) -> np.ndarray:
    """Class of each image, int64, `(images,)`: of rows of shares the largest."""
    if labels.ndim == 2 and labels.shape[1] > 1:
        return np.asarray(labels.argmax(1))
    return labels.reshape(-1).astype(np.int64)


def classified(model: Any, batches: Iterable[Any], class_names: Sequence[str]) -> Evaluation:
    """As `evaluate`, for a model of one class per image."""
    truth, given = _labels_and_outputs(model, batches)
    return Evaluation(class_names, truth.reshape(-1), as_columns(given))


def _labels_and_outputs(model: Any, batches: Iterable[Any]) -> tuple[np.ndarray, np.ndarray]:
    labels, outputs = [], []
    for images, truth in batches:
        outputs.append(np.asarray(model.predict_on_batch(np.asarray(images)), dtype="float32"))
        labels.append(np.asarray(truth))
    if not labels:
        raise ValueError("`batches` must hold images. Received: none. Name data with images in it.")
    return np.concatenate(labels), np.concatenate(outputs)


def as_columns(outputs: Any) -> np.ndarray:
    """One column per class, also where the model gives one probability for two classes.

    Example:

    >>> as_columns([[0.25]])
    array([[0.75, 0.25]], dtype=float32)
    """
    columns = np.asarray(outputs, dtype="float32")
    return np.concatenate([1 - columns, columns], axis=1) if columns.shape[1] == 1 else columns


def check_class_names(model_names: Sequence[str] | None, data_names: Sequence[str]) -> None:
    """Refuse data whose classes are not the model's.

    Raises:
        ValueError: Naming the classes that only one of the two has.
    """
    if model_names is None or list(model_names) == list(data_names):
        return
    missing = [name for name in model_names if name not in data_names]
    unknown = [name for name in data_names if name not in model_names]
    if missing or unknown:
        parts = [
            f"{who}: {', '.join(names)}"
            for who, names in (("only in the data", unknown), ("only in the model", missing))
            if names
        ]
        what = "; ".join(parts)
    else:
        what = f"the same in another order: {', '.join(data_names)}"
    raise ValueError(
        f"`data` must have the model's {len(model_names)} classes. Received: {what}. "
        "Evaluate on data of the classes that the model was trained on."
    )
