"""Solve the head of a classifier: features, the best linear head, and its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np
from scipy.special import expit, softmax

from kerastl.blocks.block import HEAD
from kerastl.data.class_weights import image_weights
from kerastl.data.tasks import CLASSIFICATION, MULTI_LABEL, REGRESSION
from kerastl.evaluation.scoring import AnyEvaluation, as_columns, as_evaluation
from kerastl.model.labels import LabelRange, check_labels, weighed_labels
from kerastl.prefix.rows import FeatureRows
from kerastl.solving.folds import DEFAULT_FOLDS, fold_numbers
from kerastl.solving.heads import SQUARED, Solution, held_out_losses, solve
from kerastl.solving.logistic import SIGMOID, SOFTMAX
from kerastl.solving.rows import Rows


@dataclass(frozen=True)
class SolvedHead:
    """What `solve_head` found.

    Attributes:
        penalty: Factor of half the squared coefficients of the standardised
            features, beside the sum of the losses: 1 / C in scikit-learn's
            terms. One for all outputs, or one each, `(1,)` or `(outputs,)`.
        path: Each penalty that was tried, strongest first, with the mean loss
            of the images held out, nats, or squared deviations.
        out_of_fold: What each image gets from a head that was solved without
            its fold: logits, or numbers, `(images, outputs)`; NaN for an image
            that no fold holds out, such as the only one of its class.
        fitted: What each gets from the head that the model has now, likewise.
        labels: Of the images, `(images,)` or `(images, outputs)`.
        fold_of_image: Which fold held each image out, from 0; -1: none did, `(images,)`.
        gradient: Largest slope of the penalised loss that is left.
        task: The model's.
        num_outputs: The model's.
    """

    penalty: np.ndarray
    path: tuple[tuple[float, float], ...]
    out_of_fold: np.ndarray = field(repr=False)
    fitted: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    fold_of_image: np.ndarray = field(repr=False)
    gradient: float
    task: str
    num_outputs: int

    @property
    def num_folds(self) -> int:
        """How many folds there were; 0: nothing could be held out."""
        return len(np.unique(self.fold_of_image[self.fold_of_image >= 0]))

    @property
    def held_out(self) -> np.ndarray:
        """Whether each image was held out once, bool, `(images,)`."""
        return ~np.isnan(self.out_of_fold).any(1)

    @property
    def predictions(self) -> np.ndarray:
        """As `predict` gives them, out of fold: `(images, classes or numbers)`; NaN as above."""
        return self._predictions(self.out_of_fold)

    def _predictions(self, outputs: np.ndarray) -> np.ndarray:
        if self.task == REGRESSION:
            return outputs
        if self.task == MULTI_LABEL:
            return np.asarray(expit(outputs))
        return as_columns(expit(outputs)) if self.num_outputs == 1 else softmax(outputs, 1)

    def evaluation(
        self, class_names: Sequence[str], *, out_of_fold: bool = True
    ) -> AnyEvaluation | None:
        """The scores of the images; None where there is none to score.

        Args:
            class_names: Every class, or number to predict.
            out_of_fold: Whether each is judged by a head that has not seen it.
        """
        chosen = self.held_out if out_of_fold else np.ones(len(self.labels), bool)
        if not chosen.any():
            return None
        outputs = self.out_of_fold if out_of_fold else self.fitted
        given = self._predictions(outputs[chosen]).astype("float32")
        return as_evaluation(self.task, class_names, self.labels[chosen], given)


@dataclass(frozen=True)
class LabelledRows:
    """Features of images with their labels and weights.

    Attributes:
        features: `(rows, features)`.
        labels: As the data have them, `(rows, ...)`.
        weights: How much each row counts, float64, `(rows,)`.
        images: Which image each row is a view of, `(rows,)`.
        groups: Which group each image is of, `(images,)`, or None.
        class_weight: Weight of each class, which `weights` have as a mean over
            the classes that an image has shares of, or None.
    """

    features: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    images: np.ndarray
    groups: np.ndarray | None = None
    class_weight: Mapping[int, float] | None = None

    def with_groups(self, groups: np.ndarray) -> LabelledRows:
        """The same rows, their images held out by group.

        Args:
            groups: Of every image of the data by its number; of those without a row too.
        """
        return replace(self, groups=groups[np.unique(self.images)])

    def with_class_weight(self, class_weight: Mapping[int, float]) -> LabelledRows:
        """The same rows, each counting by its class.

        Args:
            class_weight: Weight of each class; 1 for the others.
        """
        factors = image_weights(self.labels, class_weight)
        return replace(self, weights=self.weights * factors, class_weight=class_weight)


def labelled(
    found: FeatureRows,
    y: Any,
    *,
    sample_weight: Any = None,
    class_weight: Mapping[int, float] | None = None,
) -> LabelledRows:
    """Rows with the labels and weights that belong to them.

    Args:
        found: The features, and what came with them.
        y: Labels of arrays; None where they came with the features.
        sample_weight: Weight of each image of arrays.
        class_weight: Weight of each class; 1 for the others.

    Raises:
        ValueError: If labels are missing, or not as many as the images.
    """
    columns = list(found.columns)
    if y is not None:
        if columns:
            raise ValueError(
                "`y` must be left out where `x` holds labels. Received: labels beside a loader. "
                "Give one of them."
            )
        columns = [np.asarray(keras.ops.convert_to_numpy(y))]
        if sample_weight is not None:
            columns.append(np.asarray(keras.ops.convert_to_numpy(sample_weight)))
    if not columns:
        raise ValueError("`y` must be given with arrays. Received: y=None. Pass the labels.")
    labels = columns[0]
    for name, column in zip(("y", "sample_weight"), columns, strict=False):
        if len(column) != len(found.features):
            raise ValueError(
                f"`{name}` must have one entry per image. Received: {len(column)} for "
                f"{len(found.features)} images."
            )
    weights = np.ones(len(labels)) if len(columns) < 2 else columns[1].reshape(-1).astype(float)
    weights = weights / np.bincount(found.images)[found.images]  # the views of an image share
    rows = LabelledRows(found.features, labels, weights, found.images)
    return rows.with_class_weight(class_weight) if class_weight else rows


def check_can_solve(model: Any) -> None:
    """Refuse a head that is more than one layer that trains.

    Raises:
        ValueError: If so, saying what to do.
    """
    head = model.get_layer(HEAD)
    reason = None
    if head.hidden_units:
        reason = f"hidden_units={head.hidden_units}, whose layers have to be trained"
    elif head.logits.lora_rank or head.logits.quantization_mode:
        reason = "a head with LoRA or quantised weights"
    elif not head.trainable:
        reason = "a frozen head"
    if reason is not None:
        raise ValueError(
            f"The head must be one Dense layer that trains, to be solved. Received: {reason}. "
            "Train it with `fit`."
        )


def solve_rows(
    model: Any,
    parts: Sequence[LabelledRows],
    *,
    penalty: float | Sequence[float] | None = None,
    folds: int = DEFAULT_FOLDS,
    seed: int = 0,
) -> SolvedHead:
    """Give the head of a model the weights with the least penalised loss on some rows.

    Args:
        model: The classifier.
        parts: Rows, one part of the data after the other.
        penalty: Fixed instead of chosen by folds.
        folds: How many.
        seed: Number that fixes the folds.

    Raises:
        ValueError: If the head cannot be solved, or labels are out of range.
    """
    check_can_solve(model)
    all_labels = _alike(model, [part.labels for part in parts])
    targets = np.concatenate([_targets(model, labels) for labels in all_labels])
    weighed = [
        _weighed(_targets(model, labels), part.class_weight)
        for part, labels in zip(parts, all_labels, strict=True)
    ]
    rows = Rows(
        [part.features for part in parts],
        np.concatenate(weighed),
        np.concatenate([part.weights for part in parts]),
        model.num_classes,
    )
    images = _image_numbers(parts)
    first = np.unique(images, return_index=True)[1]
    folded = fold_numbers(
        _classes(model, targets[first]),
        len(first),
        folds=folds,
        groups=_groups(parts),
        seed=seed,
    )
    loss = _loss_of(model)
    given = None if penalty is None else np.atleast_1d(np.asarray(penalty, float))
    found = solve(rows, loss, folded[images], penalty=given, device=device())
    _assign(model, found)
    labels = np.concatenate(all_labels)[first]
    return SolvedHead(
        penalty=found.penalty,
        path=found.path,
        out_of_fold=_mean_by_image(found.held_out, images),
        fitted=_mean_by_image(found.fitted, images),
        labels=labels.reshape(len(labels), -1) if model.task != CLASSIFICATION else labels,
        fold_of_image=folded,
        gradient=found.gradient,
        task=model.task,
        num_outputs=model.num_classes,
    )


def _alike(model: Any, labels: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Class numbers as rows of shares where some of the images have those, as mixed ones do."""
    if len({part.ndim for part in labels}) == 1:
        return list(labels)
    shares = np.eye(model.num_classes, dtype="float32")
    return [part if part.ndim == 2 else shares[part.astype(np.int64)] for part in labels]


def fold_losses(model: Any, rows: LabelledRows, *, seed: int = 0) -> np.ndarray:
    """The loss of each row, of heads that the model would have on these features without it.

    Args:
        model: The classifier; its own head stays as it is.
        rows: Features of any kind, with the labels of the model's task.
        seed: Number that fixes the folds.

    Returns:
        `(rows,)`; NaN for a row that no fold holds out.
    """
    targets = _targets(model, rows.labels)
    of_task = Rows([rows.features], targets, rows.weights, model.num_classes)
    folds = fold_numbers(_classes(model, targets), len(targets), groups=_groups([rows]), seed=seed)
    return held_out_losses(of_task, _loss_of(model), folds, device=device()).mean(1)


def _loss_of(model: Any) -> str:
    if model.task == REGRESSION:
        return SQUARED
    return SIGMOID if model.task == MULTI_LABEL or model.num_classes == 1 else SOFTMAX


def _targets(model: Any, labels: np.ndarray) -> np.ndarray:
    """Class numbers, or a column per output."""
    outputs = model.num_classes
    if model.task == CLASSIFICATION:
        check_labels(labels, LabelRange(max(outputs, 2) - 1), outputs)
        if outputs > 1 and (labels.ndim == 1 or labels.shape[1] == 1):
            return labels.reshape(-1).astype(np.int64)
    wide = labels.reshape(len(labels), -1).astype(np.float32)
    if wide.shape[1] != outputs:
        raise ValueError(
            f"Labels must have {outputs} columns, one per output. Received: {wide.shape[1]}. Build "
            "the classifier with the number of classes of the data."
        )
    return wide


def _weighed(targets: np.ndarray, weights: Mapping[int, float] | None) -> np.ndarray:
    """Targets such that, times its row's weight, each share of a class counts by its class."""
    if not weights or targets.ndim == 1:
        return targets
    outputs = targets.shape[1]
    weighed = weighed_labels(targets, weights, outputs)
    return np.asarray(keras.ops.convert_to_numpy(weighed), np.float32)


def _classes(model: Any, targets: np.ndarray) -> np.ndarray | None:
    """The class that each row counts for where folds hold classes in proportion."""
    if model.task != CLASSIFICATION:
        return None
    if targets.ndim == 1:
        return targets
    binary = targets.shape[1] == 1
    return (targets[:, 0] > 0.5).astype(np.int64) if binary else targets.argmax(1)


def classes_of(model: Any, labels: np.ndarray) -> np.ndarray | None:
    """The class of each image where folds hold classes in proportion, else None.

    Args:
        model: The classifier.
        labels: As the data have them, `(images, ...)`.

    Raises:
        ValueError: If labels are out of range.
    """
    return _classes(model, _targets(model, labels))


def _image_numbers(parts: Sequence[LabelledRows]) -> np.ndarray:
    """Numbers of the images of all parts, from 0 without gaps."""
    found, count = [], 0
    for part in parts:
        _, numbers = np.unique(part.images, return_inverse=True)
        found.append(numbers + count)
        count += int(numbers.max()) + 1 if len(numbers) else 0
    return np.concatenate(found)


def _groups(parts: Sequence[LabelledRows]) -> np.ndarray | None:
    groups = [part.groups for part in parts if part.groups is not None]
    if not groups:
        return None
    if len(groups) < len(parts):
        raise ValueError("`groups` must be given for all images, or for none.")
    return np.unique(np.concatenate(groups), return_inverse=True)[1]


def _mean_by_image(values: np.ndarray, images: np.ndarray) -> np.ndarray:
    """The mean over the views of each image."""
    counts = np.bincount(images)
    if len(counts) == len(values):
        return values[np.argsort(images, kind="stable")]
    sums = np.zeros((len(counts), values.shape[1]))
    np.add.at(sums, images, values)
    return sums / counts[:, None]


def _assign(model: Any, found: Solution) -> None:
    head = model.get_layer(HEAD)
    # What the model divides its logits by stays part of it.
    head.logits.kernel.assign((found.kernel * head.temperature).astype("float32"))
    head.logits.bias.assign((found.bias * head.temperature).astype("float32"))


def device() -> str:
    """Where products with rows run, as torch names it."""
    import torch

    on_gpu = keras.backend.backend() == "torch" and torch.cuda.is_available()
    return "cuda" if on_gpu else "cpu"
