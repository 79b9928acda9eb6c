"""Scores of resampled images: the bootstrap (Efron, 1979), with counts in place of copies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from kerastl.evaluation.scores import Evaluation, MultiLabelEvaluation, RegressionEvaluation
from kerastl.evaluation.scoring import AnyEvaluation

RESAMPLES = 1000
"""Enough for the ends of a 95 % interval (Efron and Tibshirani, 1993)."""

Score = Callable[[np.ndarray], np.ndarray]
"""From how often each image was drawn, `(resamples, images)`, to `(resamples,)`."""

_SEED = 0
# Numbers that are held at once.
_MOST_HELD = 2_000_000
# A spread this much smaller than the numbers themselves is rounding.
_ROUNDING = 1e-12


def resamples(images: int) -> Iterator[np.ndarray]:
    """How often each image is drawn in each resample, some resamples at a time.

    The draws are the same in each call with as many images, so that two models
    are resampled alike.

    Args:
        images: Number of images.

    Yields:
        int64, `(resamples, images)`, `RESAMPLES` rows in all.
    """
    generator = np.random.default_rng(_SEED)
    at_once = max(_MOST_HELD // images, 1)
    for start in range(0, RESAMPLES, at_once):
        rows = min(at_once, RESAMPLES - start)
        drawn = generator.integers(0, images, (rows, images)) + images * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * images).reshape(rows, images)


def weighted_scores(evaluation: AnyEvaluation) -> Mapping[str, Score]:
    """The scores of an evaluation as functions of how often each image counts.

    With each image once they are those of `evaluation.scores`, of which the
    loss is left out.

    Args:
        evaluation: Of classes, of several labels or of numbers.
    """
    if isinstance(evaluation, MultiLabelEvaluation):
        return {"mean_average_precision": _mean_average_precision(evaluation)}
    if isinstance(evaluation, RegressionEvaluation):
        return _of_numbers(evaluation)
    return {"accuracy": _accuracy(evaluation)}


def truth_of(evaluation: AnyEvaluation) -> np.ndarray:
    """The labels or numbers of the images that were evaluated."""
    if isinstance(evaluation, RegressionEvaluation):
        return evaluation.truth
    return evaluation.labels


def num_images(evaluation: AnyEvaluation) -> int:
    """Number of images that were evaluated."""
    return len(truth_of(evaluation))


def _accuracy(evaluation: Evaluation) -> Score:
    right = (evaluation.predicted == evaluation.labels).astype("float64")
    return lambda counts: counts @ right / counts.sum(axis=1)


def _of_numbers(evaluation: RegressionEvaluation) -> Mapping[str, Score]:
    truth = np.asarray(evaluation.truth, dtype="float64")
    errors = truth - np.asarray(evaluation.predicted, dtype="float64")
    absolute, square = np.abs(errors).mean(axis=1), np.square(errors).mean(axis=1)
    # Sums of squares lose fewer digits around the mean.
    centred = truth - truth.mean(axis=0)

    def r2(counts: np.ndarray) -> np.ndarray:
        images = counts.sum(axis=1)[:, None]
        left = counts @ np.square(errors)
        squares = counts @ np.square(centred)
        spread = squares - np.square(counts @ centred) / images
        constant = spread <= _ROUNDING * np.maximum(squares, np.square(centred).max(axis=0))
        # As in scikit-learn, where all numbers are alike.
        alike = np.where(left > 0, 0.0, 1.0)
        return np.where(constant, alike, 1 - left / np.where(constant, 1, spread)).mean(axis=1)

    return {
        "mean_absolute_error": lambda counts: counts @ absolute / counts.sum(axis=1),
        "root_mean_squared_error": lambda counts: np.sqrt(counts @ square / counts.sum(axis=1)),
        "r2": r2,
    }


def _mean_average_precision(evaluation: MultiLabelEvaluation) -> Score:
    classes = [
        _average_precision(truth, given)
        for truth, given in zip(evaluation.labels.T, evaluation.probabilities.T, strict=True)
        if truth.any()
    ]

    def mean(counts: np.ndarray) -> np.ndarray:
        found = np.array([of_class(counts) for of_class in classes]).reshape(-1, len(counts))
        there = ~np.isnan(found)
        total = np.where(there, found, 0).sum(axis=0)
        return np.where(there.any(axis=0), total / np.maximum(there.sum(axis=0), 1), np.nan)

    return mean


def _average_precision(truth: np.ndarray, given: np.ndarray) -> Score:
    """The precision at each probability, weighted by the step in recall; NaN without a positive."""
    order = np.argsort(-given, kind="stable")
    positive, sorted_given = truth[order] > 0, given[order]
    # Images of one probability are found together.
    ends = np.flatnonzero(np.append(np.diff(sorted_given) != 0, True))

    def score(counts: np.ndarray) -> np.ndarray:
        drawn = counts[:, order]
        found = np.cumsum(drawn * positive, axis=1)[:, ends]
        precision = found / np.maximum(np.cumsum(drawn, axis=1)[:, ends], 1)
        steps = np.diff(found, axis=1, prepend=0)
        all_found = found[:, -1]
        return np.where(
            all_found > 0, (steps * precision).sum(axis=1) / np.maximum(all_found, 1), np.nan
        )

    return score
