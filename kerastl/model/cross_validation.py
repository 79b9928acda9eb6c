"""Cross-validation: how well a model does on images that it was solved or trained without."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from kerastl.blocks.block import HEAD
from kerastl.data.loading import ImageData
from kerastl.data.named_labels import by_the_models_names, weights_by_the_models_names
from kerastl.data.tasks import CLASSIFICATION
from kerastl.evaluation.folds import fold_scores, held_out_evaluation
from kerastl.evaluation.scoring import AnyEvaluation, as_columns
from kerastl.model import looking
from kerastl.model.head_solving import LabelledRows, classes_of, labelled, solve_rows
from kerastl.prefix.rows import feature_rows
from kerastl.prefix.sources import array_source
from kerastl.solving.folds import DEFAULT_FOLDS, fold_numbers


@dataclass(frozen=True)
class CrossValidation:
    """What models gave for images that they had not seen.

    Attributes:
        out_of_fold: As `predict` gives them, of the model without the image's fold,
            `(images, classes or numbers)`; NaN for an image that no fold holds out.
        fold_of_image: From 0; -1: no fold holds it out, int64, `(images,)`.
        scores: Of each fold, by name.
        mean: Of each score over the folds.
        spread: Its standard deviation over the folds.
        evaluation: Over all images that were held out.
    """

    out_of_fold: np.ndarray = field(repr=False)
    fold_of_image: np.ndarray = field(repr=False)
    scores: tuple[dict[str, float], ...]
    mean: dict[str, float]
    spread: dict[str, float]
    evaluation: AnyEvaluation = field(repr=False)


@dataclass(frozen=True)
class _HeldOut:
    """Outputs `(images, outputs)`, labels, and the fold of each image."""

    outputs: np.ndarray
    labels: np.ndarray
    folds: np.ndarray


def cross_validate(
    model: Any,
    x: Any,
    y: Any = None,
    *,
    folds: int = DEFAULT_FOLDS,
    groups: Any = None,
    seed: int = 0,
    solve: Mapping[str, Any] | None = None,
    fit: Mapping[str, Any] | None = None,
) -> CrossValidation:
    """Hold out each fold once: solve the head, or train, on the rest, and predict the fold.

    Each time the model starts from the weights and the optimizer's state that it has now,
    and in the end it has them again. Folds hold every class in proportion.

    Args:
        model: An `ImageClassifier`; compiled, if it is to be trained.
        x: Images, or what `load_data` gives, whose test is left alone. For a solved head
            also a `DataLoader`, or batches `(images, labels, ...)` that end.
        y: Labels of arrays.
        folds: How many; fewer where there are fewer images, or groups.
        groups: Images of one group are held out together, `(images,)`; default: those that
            the data of `load_data` have.
        seed: Number that fixes the folds.
        solve: Options of `model.solve_head`: `penalty`, `class_weight`, `sample_weight`,
            `views`, `batch_size`. A row of features is computed once, whatever the fold.
        fit: Options of `model.fit`, such as `{"epochs": 3}`: the model is trained in each
            fold instead. `sample_weight` is of all images.

    Raises:
        ValueError: If nothing can be held out, an argument does not fit, or the head cannot
            be solved.

    Example:

        found = kerastl.cross_validate(model, images, labels, folds=10)
        found.mean["accuracy"], found.spread["accuracy"]
    """
    if fit is not None and solve is not None:
        raise ValueError(
            "`solve` must be left out with `fit`, which trains in each fold. Received: both. "
            "Leave one out."
        )
    if groups is None and isinstance(x, ImageData):
        groups = x.untested().groups
    folding = _Folding(folds, groups, seed)
    if fit is None:
        held_out = _of_solved(model, folding, x, y, dict(solve or {}))
    else:
        held_out = _of_trained(model, folding, x, y, dict(fit))
    if not (held_out.folds >= 0).any():
        raise ValueError(
            "`x` must have two images of a class, of different groups. Received: none that can "
            "be held out. Add images."
        )
    names = _class_names(model, held_out.outputs.shape[1])
    parts = (model.task, names, held_out.labels, held_out.outputs, held_out.folds)
    by_fold = fold_scores(*parts)
    return CrossValidation(
        held_out.outputs,
        held_out.folds,
        by_fold.scores,
        by_fold.mean,
        by_fold.spread,
        held_out_evaluation(*parts),
    )


@dataclass(frozen=True)
class _Folding:
    """How images are held out."""

    count: int
    groups: Any
    seed: int

    def of(self, num_images: int) -> np.ndarray | None:
        """The group of each image, or None."""
        if self.groups is None:
            return None
        groups = np.asarray(self.groups)
        if groups.shape != (num_images,):
            raise ValueError(
                f"`groups` must have one entry per image. Received: shape {groups.shape} for "
                f"{num_images} images."
            )
        return np.unique(groups, return_inverse=True)[1]


def _class_names(model: Any, columns: int) -> Sequence[str]:
    return model.class_names or [str(number) for number in range(columns)]


def _of_solved(model: Any, folding: _Folding, x: Any, y: Any, options: dict[str, Any]) -> _HeldOut:
    penalty = options.pop("penalty", None)
    looking.at_arrays(model, x)
    rows = _rows(model, folding, x, y, options)
    head = model.get_layer(HEAD)
    before = [_value(variable) for variable in head.variables]
    try:
        found = solve_rows(model, rows, penalty=penalty, folds=folding.count, seed=folding.seed)
    finally:
        _assign(head.variables, before)
    return _HeldOut(found.predictions.astype("float32"), found.labels, found.fold_of_image)


def _rows(
    model: Any, folding: _Folding, x: Any, y: Any, options: dict[str, Any]
) -> list[LabelledRows]:
    """The rows of each part, with their groups."""
    weights = {name: options.pop(name, None) for name in ("sample_weight", "class_weight")}
    weights["class_weight"] = weights_by_the_models_names(weights["class_weight"], model)
    parts = [x]
    if isinstance(x, ImageData):
        parts = [part for part in (x.train, x.validation) if part is not None]
    parts = [by_the_models_names(part, model, "x") for part in parts]
    rows = [
        labelled(feature_rows(model, part, model.prefix_cache, **options), y, **weights)
        for part in parts
    ]
    if folding.groups is None:
        return rows
    sizes = [len(part.dataset) if hasattr(part, "dataset") else None for part in parts]
    counts = [size or len(np.unique(part.images)) for size, part in zip(sizes, rows, strict=True)]
    groups = folding.of(sum(counts))
    found, start = [], 0
    for part, count in zip(rows, counts, strict=True):
        found.append(part.with_groups(groups[start : start + count]))  # type: ignore[index]
        start += count
    return found


def _of_trained(model: Any, folding: _Folding, x: Any, y: Any, options: dict[str, Any]) -> _HeldOut:
    if not getattr(model, "compiled", False):
        raise ValueError(
            "`model` must be compiled to be trained in each fold. Received: fit= for a model "
            "that is not. Call `model.compile(...)` first, or leave `fit` out."
        )
    if isinstance(x, ImageData):
        labels, train = x.untested().labels, _on_data(model, x, options)
    else:
        labels, train = _array_labels(x, y), _on_arrays(model, x, y, options)
    folds = fold_numbers(
        classes_of(model, labels),
        len(labels),
        folds=folding.count,
        groups=folding.of(len(labels)),
        seed=folding.seed,
    )
    columns = 2 if model.task == CLASSIFICATION and model.num_classes == 1 else model.num_classes
    outputs = np.full((len(labels), columns), np.nan, np.float32)
    for fold in np.unique(folds[folds >= 0]):
        held_out = np.flatnonzero(folds == fold)
        with as_it_was(model):
            given = train(np.flatnonzero(folds != fold), held_out)
        outputs[held_out] = as_columns(given) if model.task == CLASSIFICATION else given
    folds[np.isnan(outputs).any(1)] = -1  # broken images
    return _HeldOut(outputs, labels, folds)


Train = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From image numbers to train on and to predict to `(images, outputs)`."""


def _on_arrays(model: Any, x: Any, y: Any, options: dict[str, Any]) -> Train:
    source: Any = array_source(x)
    labels = np.asarray(keras.ops.convert_to_numpy(y))
    weights = options.pop("sample_weight", None)
    size = options.get("batch_size") or 32

    def train(rest: np.ndarray, held_out: np.ndarray) -> np.ndarray:
        given = None if weights is None else np.asarray(weights)[rest]
        model.fit(source.pixels(rest), labels[rest], sample_weight=given, **options)
        return np.asarray(model.predict(source.pixels(held_out), batch_size=size, verbose=0))

    return train


def _array_labels(x: Any, y: Any) -> np.ndarray:
    if array_source(x) is None:
        raise ValueError(
            "`x` must be an array of images, or what `load_data` gives, with `fit`. Received: "
            f"{type(x).__name__}. Pass one of these, or leave `fit` out."
        )
    if y is None:
        raise ValueError("`y` must be given with arrays. Received: y=None. Pass the labels.")
    labels = np.asarray(keras.ops.convert_to_numpy(y))
    if len(labels) != len(x):
        raise ValueError(
            f"`y` must have one entry per image. Received: {len(labels)} for {len(x)} images."
        )
    return labels


def _on_data(model: Any, data: ImageData, options: dict[str, Any]) -> Train:
    def train(rest: np.ndarray, held_out: np.ndarray) -> np.ndarray:
        cut = data.with_parts(train=rest, test=held_out)
        model.fit(cut.train, **options)
        batches: Any = cut.test
        given = [np.asarray(model.predict_on_batch(images.numpy())) for images, _ in batches]
        outputs = np.concatenate(given)
        found = np.full((len(held_out), outputs.shape[1]), np.nan, np.float32)
        found[~np.asarray(batches.dataset.broken)] = outputs
        return found

    return train


@contextmanager
def as_it_was(model: Any) -> Iterator[None]:
    """Train a compiled model within the block, and put everything back afterwards.

    Weights, moving statistics, seeds, the optimizer's state and what is frozen.

    Args:
        model: The classifier.
    """
    optimizer = model.optimizer
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    variables = [*model.variables, *optimizer.variables]
    before = [_value(variable) for variable in variables]
    trained, history = model.trainable_blocks, getattr(model, "history", None)
    try:
        yield
    finally:
        for name in {*model.trainable_blocks} ^ {*trained}:
            (model.unfreeze if name in trained else model.freeze)(name)
        model.optimizer, model.history, model.stop_training = optimizer, history, False
        _assign(variables, before)
        model.reset_metrics()


def _value(variable: Any) -> np.ndarray:
    # On torch the array would change with the variable.
    return np.array(keras.ops.convert_to_numpy(variable.value))


def _assign(variables: Sequence[Any], values: Sequence[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
