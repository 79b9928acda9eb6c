"""Evaluate a classifier on labelled images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from kerastl.data.class_names import Renumbered, renumbering
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
            labels; a model that has names has labels by them.

    Raises:
        ValueError: If there is no image, or the data have classes that the
            model has not.
    """
    task = getattr(model, "task", CLASSIFICATION)
    names = getattr(model, "class_names", None)
    change = _renumbering(names, class_names, task)
    truth, given = _labels_and_outputs(model, batches)
    if change is not None:
        truth, _ = change(truth, None)
    return as_evaluation(task, class_names if change is None else names or (), truth, given)


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


def check_class_names(
    model_names: Sequence[str] | None, data_names: Sequence[str], *, task: str = CLASSIFICATION
) -> None:
    """Refuse data whose classes are not the model's, or some of them.

    Raises:
        ValueError: Naming the classes of both.
    """
    _renumbering(model_names, data_names, task)


def missing_classes(model_names: Sequence[str] | None, data_names: Sequence[str]) -> list[str]:
    """Those of the model's classes that the data do not have."""
    return [name for name in model_names or () if name not in set(data_names)]


def _renumbering(
    model_names: Sequence[str] | None, data_names: Sequence[str], task: str
) -> Renumbered | None:
    if model_names is None:
        return None
    of_data = dict(enumerate(data_names))
    outputs = len(model_names)
    return renumbering(model_names, of_data, task=task, num_outputs=outputs, data="data")
