"""Intervals of 95 %: how far a score may be from that of all such images."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from kerastl.evaluation.resampling import num_images, resamples, weighted_scores
from kerastl.evaluation.run_record import RunResults
from kerastl.evaluation.scores import Evaluation
from kerastl.evaluation.scoring import AnyEvaluation

CONFIDENCE = 0.95
ACCURACY = "accuracy"
PARTS = ("train", "validation", "out_of_fold", "test")

Interval = tuple[float, float]


def wilson(right: int, images: int) -> Interval:
    """The interval of a share of images.

    Wilson's score interval (1927): the shares whose own sampling would give
    the one that was seen.

    Args:
        right: Images that count.
        images: All images, 1 or more.

    Raises:
        ValueError: If there is no image, or more are right than there are.

    Example:

    >>> low, high = wilson(69, 78)
    >>> print(f"{low:.4f} {high:.4f}")
    0.7950 0.9381
    """
    if not 0 <= right <= images or not images:
        raise ValueError(
            "`right` must be between 0 and `images`, and there must be one. Received: "
            f"right={right}, images={images}. Count both on the same images."
        )
    from scipy.stats import binomtest

    found = binomtest(right, images).proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)


def score_intervals(evaluation: AnyEvaluation) -> dict[str, Interval]:
    """The interval of each score of an evaluation, without the loss.

    Wilson's for an accuracy. Percentiles of the bootstrap for other scores,
    always from the same draws; of fewer than some twenty images they are too
    narrow, and of one there are none.

    Args:
        evaluation: Of classes, of several labels or of numbers.
    """
    images = num_images(evaluation)
    if isinstance(evaluation, Evaluation):
        return accuracy_interval(evaluation.scores, images)
    if images < 2:
        return {}
    scores = weighted_scores(evaluation)
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in scores}
    for counts in resamples(images):
        for name, score in scores.items():
            drawn[name].append(score(counts))
    found = {name: percentiles(np.concatenate(values)) for name, values in drawn.items()}
    return {name: interval for name, interval in found.items() if interval is not None}


def percentiles(values: np.ndarray) -> Interval | None:
    """The middle 95 % of resampled scores, or None where no resample had one."""
    there = values[~np.isnan(values)]
    if not len(there):
        return None
    outside = (1 - CONFIDENCE) / 2
    low, high = np.quantile(there, (outside, 1 - outside))
    return float(low), float(high)


def accuracy_interval(scores: Mapping[str, float], images: int) -> dict[str, Interval]:
    """The interval of the accuracy among the scores of so many images, if it is there."""
    share = scores.get(ACCURACY, math.nan)
    if not images or not 0 <= share <= 1:
        return {}
    return {ACCURACY: wilson(round(share * images), images)}


def known_intervals(results: RunResults) -> dict[str, dict[str, Interval]]:
    """The intervals of a run by part and score; of accuracies also where its file has none yet."""
    found = {}
    for part in PARTS:
        of_accuracy = accuracy_interval(getattr(results, part), results.num_images(part))
        of_file = {
            name: (float(low), float(high))
            for name, (low, high) in results.intervals.get(part, {}).items()
        }
        found[part] = {**of_accuracy, **of_file}
    return {part: intervals for part, intervals in found.items() if intervals}


def difference_interval(first: tuple[int, int], second: tuple[int, int]) -> Interval:
    """The interval of one share minus another, of different images.

    Newcombe's (1998), from both Wilson intervals.

    Args:
        first: Images that count, and all images, of the first.
        second: The same of the second.
    """
    (one, other), (low, high), (other_low, other_high) = (
        (first[0] / first[1], second[0] / second[1]),
        wilson(*first),
        wilson(*second),
    )
    below = math.hypot(one - low, other_high - other)
    above = math.hypot(high - one, other - other_low)
    return one - other - below, one - other + above


def shown(interval: Interval) -> str:
    """An interval as text, to two digits of its width; both ends are rounded outwards.

    Of numbers that are none the text is a dash.

    Example:

    >>> shown((0.7950, 0.9381)), shown((0.94121, 0.94533)), shown((-0.0123, 0.04))
    ('0.79-0.94', '0.9412-0.9454', '-0.013 to 0.040')
    """
    low, high = interval
    width = high - low
    if math.isnan(width):
        return "-"
    places = max(1 - math.floor(math.log10(width)), 0) if width > 0 else 4
    step = 10.0**-places
    # What is a multiple of the step but for rounding stays.
    low, high = math.floor(low / step + 1e-6) * step, math.ceil(high / step - 1e-6) * step
    between = " to " if low < 0 else "-"
    return f"{low + 0.0:.{places}f}{between}{high + 0.0:.{places}f}"


def described(
    scores: Mapping[str, float], intervals: Mapping[str, Interval], *, images: int
) -> str:
    """The scores of some images in a line, with their intervals.

    Example:

    >>> described({"accuracy": 69 / 78, "loss": 0.5}, {"accuracy": (0.795, 0.938)}, images=78)
    'accuracy 0.8846 (0.79-0.94, 78 images)  loss 0.5000'
    """
    count = f"{images:,} images"
    parts = [
        f"{name} {value:.4f}"
        + (f" ({shown(intervals[name])}, {count})" if name in intervals else "")
        for name, value in scores.items()
    ]
    # Somewhere the number of images must stand.
    without = not any(name in intervals for name in scores)
    return "  ".join([*parts, f"({count})"] if without else parts)
