"""Scores of a cross-validation: by fold, their mean and spread, and over all images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerastl.evaluation.scoring import AnyEvaluation, as_evaluation

_MOST_LISTED = 10


@dataclass(frozen=True)
class FoldScores:
    """How models do on the images that each was trained without.

    Attributes:
        scores: Of each fold, by name.
    """

    scores: tuple[dict[str, float], ...]

    @property
    def mean(self) -> dict[str, float]:
        """Mean of each score over the folds that have it."""
        return {name: float(values.mean()) for name, values in self._by_name().items()}

    @property
    def spread(self) -> dict[str, float]:
        """Standard deviation of each score over the folds, with `n - 1` below; 0 of one fold."""
        return {
            name: float(values.std(ddof=1)) if len(values) > 1 else 0.0
            for name, values in self._by_name().items()
        }

    def as_dict(self) -> dict[str, Any]:
        """As `metrics.json` has them."""
        return {
            "count": len(self.scores),
            "mean": self.mean,
            "spread": self.spread,
            "scores": list(self.scores),
        }

    def _by_name(self) -> dict[str, np.ndarray]:
        names = dict.fromkeys(name for scores in self.scores for name in scores)
        found = {
            name: np.array([scores[name] for scores in self.scores if name in scores])
            for name in names
        }
        return {name: values[~np.isnan(values)] for name, values in found.items()}


def described_folds(folds: Mapping[str, Any]) -> str:
    """The folds of a finished run in a line.

    Args:
        folds: As `metrics.json` has them.

    Example:

    >>> described_folds({"count": 5, "mean": {"accuracy": 0.9}, "spread": {"accuracy": 0.02}})
    'accuracy 0.9000 ± 0.0200  (mean and standard deviation of 5 folds)'
    """
    scores = [
        f"{name} {mean:.4f} ± {folds['spread'][name]:.4f}"
        for name, mean in sorted(folds["mean"].items())
    ]
    count = folds["count"]
    return "  ".join([*scores, f"(mean and standard deviation of {count} folds)"])


def fold_scores(
    task: str,
    class_names: Sequence[str],
    labels: np.ndarray,
    outputs: np.ndarray,
    fold_of_image: np.ndarray,
) -> FoldScores:
    """The scores of each fold.

    Args:
        task: What the labels are, one of `kerastl.data.tasks.TASKS`.
        class_names: Every class, or number to predict.
        labels: Of each image, `(images, ...)`.
        outputs: What each image got from the model without its fold, `(images, ...)`.
        fold_of_image: From 0; -1: never held out, `(images,)`.
    """
    found = []
    for fold in np.unique(fold_of_image[fold_of_image >= 0]):
        chosen = fold_of_image == fold
        found.append(as_evaluation(task, class_names, labels[chosen], outputs[chosen]).scores)
    return FoldScores(tuple(found))


def held_out_evaluation(
    task: str,
    class_names: Sequence[str],
    labels: np.ndarray,
    outputs: np.ndarray,
    fold_of_image: np.ndarray,
) -> AnyEvaluation:
    """The evaluation over all folds; arguments as those of `fold_scores`."""
    chosen = fold_of_image >= 0
    return as_evaluation(task, class_names, labels[chosen], outputs[chosen])


def small_classes(labels: np.ndarray, class_names: Sequence[str], folds: int) -> str | None:
    """A sentence on classes of fewer images than folds, or None where there are none.

    Args:
        labels: Class of each image, int64, `(images,)`.
        class_names: Every class.
        folds: How many.

    Example:

    >>> print(small_classes(np.array([0, 0, 0, 1]), ["a", "b"], 3))
    Smaller than the 3 folds: 'b' (1); not every fold holds out images of such a class, and a \
class of one image is never held out.
    """
    counts = np.bincount(labels, minlength=len(class_names))
    small = [
        f"{name!r} ({count})"
        for name, count in zip(class_names, counts, strict=True)
        if 0 < count < folds
    ]
    if not small:
        return None
    more = f" and {len(small) - _MOST_LISTED:,} more" if len(small) > _MOST_LISTED else ""
    return (
        f"Smaller than the {folds} folds: {', '.join(small[:_MOST_LISTED])}{more}; not every fold "
        "holds out images of such a class, and a class of one image is never held out."
    )
