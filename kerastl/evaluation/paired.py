"""Two models on the same images: the difference, its interval, and whether it is noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kerastl.evaluation.intervals import (
    ACCURACY,
    CONFIDENCE,
    Interval,
    percentiles,
    score_intervals,
    wilson,
)
from kerastl.evaluation.resampling import num_images, resamples, truth_of, weighted_scores
from kerastl.evaluation.scores import Evaluation
from kerastl.evaluation.scoring import AnyEvaluation

MCNEMAR = "exact McNemar test"
BOOTSTRAP = "paired bootstrap"
_LOWER_IS_BETTER = ("mean_absolute_error", "root_mean_squared_error")


@dataclass(frozen=True)
class PairedComparison:
    """How far a second model is from a first, on the same images.

    Attributes:
        score: What is compared.
        values: The score of the first and of the second model.
        intervals: The 95 % interval of each.
        interval: The 95 % interval of the difference, second minus first.
        p_value: How often two equally good models would differ at least so
            much by the choice of the images.
        images: Number of images.
        method: `MCNEMAR` or `BOOTSTRAP`.
        only_right: Images that only the first, and only the second model got
            right; None where an image is not right or wrong.
    """

    score: str
    values: tuple[float, float]
    intervals: tuple[Interval, Interval]
    interval: Interval
    p_value: float
    images: int
    method: str
    only_right: tuple[int, int] | None = None

    @property
    def difference(self) -> float:
        """Second minus first."""
        return self.values[1] - self.values[0]

    @property
    def is_noise(self) -> bool:
        """Whether the choice of the images alone explains the difference."""
        return not self.p_value < 1 - CONFIDENCE

    def sentence(self, first: str = "the first model", second: str = "the second model") -> str:
        """What it comes to, in plain words.

        Args:
            first: What the first model is called.
            second: What the second model is called.
        """
        by = f"({self.method}, {readable_p_value(self.p_value)})"
        if self.only_right == (0, 0):
            return (
                f"Both are right on the same of these {self.images:,} images: no difference {by}."
            )
        if self.is_noise:
            return (
                f"The difference is less than the noise: two equally good models would differ as "
                f"much on {self.images:,} images by chance {by}."
            )
        lower_is_better = self.score in _LOWER_IS_BETTER
        better = second if (self.difference > 0) != lower_is_better else first
        return f"{better[:1].upper()}{better[1:]} is better by more than the noise {by}."


def compare(first: AnyEvaluation, second: AnyEvaluation) -> PairedComparison:
    """Compare two models by their first score: accuracy, mean average precision, absolute error.

    Args:
        first: What `evaluate` gave for one model.
        second: The same for the other, on the same images in the same order.

    Raises:
        ValueError: If the two are not of the same labels.
    """
    _check_same_images(first, second)
    if isinstance(first, Evaluation) and isinstance(second, Evaluation):
        return compare_right(first.predicted == first.labels, second.predicted == second.labels)
    score = next(iter(first.scores))
    of_first, of_second = weighted_scores(first)[score], weighted_scores(second)[score]
    images = num_images(first)
    differences = np.concatenate(
        [of_second(counts) - of_first(counts) for counts in resamples(images)]
    )
    values = first.scores[score], second.scores[score]
    nothing = (math.nan, math.nan)
    return PairedComparison(
        score,
        values,
        (
            score_intervals(first).get(score, nothing),
            score_intervals(second).get(score, nothing),
        ),
        percentiles(differences) or nothing,
        _bootstrap_p_value(differences),
        images,
        BOOTSTRAP,
    )


def compare_right(
    first: Sequence[bool] | np.ndarray, second: Sequence[bool] | np.ndarray
) -> PairedComparison:
    """Compare the accuracy of two models.

    Args:
        first: Whether one model got each image right, `(images,)`.
        second: The same of the other model.

    Raises:
        ValueError: If there is no image, or they are not as many.
    """
    one, other = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if one.shape != other.shape or not one.size:
        raise ValueError(
            "`first` and `second` must be of the same images, one or more. Received: "
            f"{one.size} and {other.size}. Evaluate both on the same data."
        )
    only_first, only_second = int((one & ~other).sum()), int((other & ~one).sum())
    images = len(one)
    return PairedComparison(
        ACCURACY,
        (float(one.mean()), float(other.mean())),
        (wilson(int(one.sum()), images), wilson(int(other.sum()), images)),
        difference_interval(
            int((one & other).sum()), only_first, only_second, int((~one & ~other).sum())
        ),
        mcnemar(only_first, only_second),
        images,
        MCNEMAR,
        (only_first, only_second),
    )


def mcnemar(only_first: int, only_second: int) -> float:
    """The p-value of McNemar's test (1947), exact: of equally good models, each is as often ahead.

    Args:
        only_first: Images that only the first model got right.
        only_second: Images that only the second got right.

    Example:

    >>> mcnemar(1, 7)
    0.0703125
    """
    from scipy.stats import binomtest

    apart = only_first + only_second
    return float(binomtest(only_first, apart).pvalue) if apart else 1.0


def difference_interval(both: int, only_first: int, only_second: int, neither: int) -> Interval:
    """The interval of the second accuracy minus the first, of the same images.

    Newcombe's (1998), from both Wilson intervals and how far the two models
    agree; unlike a bootstrap it is no point where they agree on every image.

    Args:
        both: Images that both models got right.
        only_first: Images that only the first model got right.
        only_second: Images that only the second got right.
        neither: Images that neither got right.
    """
    images = both + only_first + only_second + neither
    right = both + only_second, both + only_first
    second, first = (count / images for count in right)
    (second_low, second_high), (first_low, first_high) = (wilson(count, images) for count in right)
    product = math.prod((*right, *(images - count for count in right)))
    agreement = float(both * neither - only_first * only_second)
    if agreement > 0:
        agreement = max(agreement - images / 2, 0.0)
    correlation = agreement / math.sqrt(product) if product else 0.0

    def distance(one: float, other: float) -> float:
        return math.sqrt(max(one * one - 2 * correlation * one * other + other * other, 0))

    difference = second - first
    return (
        difference - distance(second - second_low, first_high - first),
        difference + distance(second_high - second, first - first_low),
    )


def readable_p_value(p_value: float) -> str:
    """A p-value to two digits.

    Example:

    >>> readable_p_value(0.0703), readable_p_value(1), readable_p_value(0.0002)
    ('p = 0.070', 'p = 1.0', 'p < 0.001')
    """
    if p_value < 0.001:
        return "p < 0.001"
    return f"p = {p_value:#.2g}"


def _bootstrap_p_value(differences: np.ndarray) -> float:
    """Twice the share of resamples on the far side of 0, one added (Davison and Hinkley, 1997)."""
    there = differences[~np.isnan(differences)]
    beyond = min((there <= 0).sum(), (there >= 0).sum())
    return min(2 * (int(beyond) + 1) / (len(there) + 1), 1.0)


def _check_same_images(first: AnyEvaluation, second: AnyEvaluation) -> None:
    if type(first) is not type(second) or not np.array_equal(truth_of(first), truth_of(second)):
        raise ValueError(
            "`first` and `second` must be of the same task, images and order. Received: "
            f"{type(first).__name__} of {num_images(first)} images and {type(second).__name__} of "
            f"{num_images(second)}, with other labels. Evaluate both on the same data."
        )
