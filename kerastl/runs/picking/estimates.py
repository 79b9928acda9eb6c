"""Estimates from solved heads, and whether two of them differ by more than chance."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.special import logsumexp
from scipy.stats import norm

from kerastl.evaluation.intervals import wilson
from kerastl.evaluation.paired import mcnemar
from kerastl.runs.picking.results import Estimate
from kerastl.solving.folds import DEFAULT_FOLDS, fold_numbers
from kerastl.solving.heads import held_out_outputs
from kerastl.solving.logistic import SOFTMAX
from kerastl.solving.rows import Rows

_SMALLEST = float(np.finfo(np.float32).tiny)
_STEP = 1e-9


@dataclass(frozen=True)
class Judged:
    """Predictions of images, image by image, so that two candidates can be compared by them.

    Attributes:
        correct: Whether each image got its own class, `(images,)`.
        losses: Cross-entropy of each image, nats, `(images,)`.
    """

    correct: np.ndarray = field(repr=False)
    losses: np.ndarray = field(repr=False)

    @property
    def estimate(self) -> Estimate:
        """Accuracy with its interval, and mean loss."""
        count, total = int(self.correct.sum()), len(self.correct)
        low, high = wilson(count, total)
        return Estimate(count / total, low, high, float(self.losses.mean()))


def common_folds(labels: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Folds of images, which all candidates share.

    Args:
        labels: Class of each image, `(images,)`.
        seed: Number that fixes the folds.

    Raises:
        ValueError: If no image can be held out.
    """
    folds = fold_numbers(labels, len(labels), folds=DEFAULT_FOLDS, seed=seed)
    if not (folds >= 0).any():
        raise ValueError(
            "`data` must have two images or more of some class, to hold one out. Received: "
            f"{len(labels)} images of {len(np.unique(labels))} classes. Add images."
        )
    return folds


def held_out(
    features: np.ndarray, labels: np.ndarray, folds: np.ndarray, *, num_classes: int
) -> Judged:
    """What solved heads give for images that they have not seen.

    Args:
        features: `(images, features)`.
        labels: Class of each image, `(images,)`.
        folds: Which fold holds each image out, -1 for none.
        num_classes: Classes.
    """
    rows = Rows([features], labels, np.ones(len(labels)), num_classes)
    logits = held_out_outputs(rows, SOFTMAX, folds)
    known = folds >= 0
    return judged_logits(logits[known], labels[known])


def judged_logits(logits: np.ndarray, labels: np.ndarray) -> Judged:
    """The same of logits, `(images, classes)`."""
    losses = logsumexp(logits, 1) - logits[np.arange(len(labels)), labels]
    return Judged(logits.argmax(1) == labels, losses)


def judged_probabilities(probabilities: np.ndarray, labels: np.ndarray) -> Judged:
    """The same of probabilities, `(images, classes)`."""
    given = probabilities[np.arange(len(labels)), labels]
    return Judged(
        probabilities.argmax(1) == labels, -np.log(np.maximum(given, _SMALLEST).astype(float))
    )


def accuracy_p_value(one: Judged, other: Judged) -> float:
    """How likely so large a difference in accuracy is by chance: McNemar's exact test.

    Only images that one of the two has right and the other wrong count
    (McNemar, 1947).
    """
    first = int((one.correct & ~other.correct).sum())
    second = int((other.correct & ~one.correct).sum())
    return mcnemar(first, second)


def loss_p_value(one: Judged, other: Judged) -> float:
    """The same of the mean losses, by the spread of the images' differences."""
    difference = one.losses - other.losses
    error = difference.std() / np.sqrt(max(len(difference) - 1, 1))
    if error < _STEP:
        return 1.0
    return float(2 * norm.sf(abs(difference.mean()) / error))
