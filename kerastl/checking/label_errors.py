"""Confident learning: which labels are probably wrong (Northcutt, Jiang and Chuang, 2021).

Confident learning: estimating uncertainty in dataset labels. Journal of Artificial Intelligence
Research 70, 1373-1411.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

UNLIKELY = 0.05
"""A label of this probability or more is doubtful, not likely wrong."""


@dataclass(frozen=True)
class LabelErrors:
    """What confident learning says of some labels.

    Attributes:
        numbers: Images whose label is probably wrong, the likeliest first, int64.
        suggested: The class that each of them probably is of.
        joint: Estimated images of each given and true class, `(classes, classes)`.
    """

    numbers: np.ndarray
    suggested: np.ndarray
    joint: np.ndarray = field(repr=False)

    @property
    def expected(self) -> float:
        """Labels that are expected to be wrong; more than are named where classes are alike."""
        return float(self.joint.sum() - np.trace(self.joint))


def confident_joint(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Images of each given class that are confidently of each class, `(classes, classes)`.

    An image counts for a class where its probability is at least the mean probability of that
    class over the images that are labelled so; for the most probable of several such classes.

    Args:
        probabilities: Of each class, out of fold, `(images, classes)`.
        labels: Given class of each image, `(images,)`.
    """
    classes = probabilities.shape[1]
    joint = np.zeros((classes, classes), np.int64)
    confident = _confident_classes(probabilities, labels)
    chosen = confident >= 0
    np.add.at(joint, (labels[chosen], confident[chosen]), 1)
    return joint


def label_errors(probabilities: np.ndarray, labels: np.ndarray) -> LabelErrors:
    """The images whose label is probably wrong.

    Pruned by class: of each class as many images as the joint expects to be wrong, those with
    the least probability of their label. Named are those of them that are most probably of
    another class, and of their own with less than `UNLIKELY`: where classes are alike, as a
    shirt and a pullover, the joint holds doubtful images as well as wrong labels.

    Args:
        probabilities: Of each class, out of fold, `(images, classes)`.
        labels: Given class of each image, int64, `(images,)`.
    """
    joint = _calibrated(confident_joint(probabilities, labels), labels)
    own = probabilities[np.arange(len(labels)), labels]
    best = probabilities.argmax(1)
    pruned = np.zeros(len(labels), bool)
    for given in range(len(joint)):
        members = np.flatnonzero(labels == given)
        wrong = round(joint[given].sum() - joint[given, given])
        pruned[members[np.argsort(own[members], kind="stable")][:wrong]] = True
    numbers = np.flatnonzero(pruned & (best != labels) & (own < UNLIKELY))
    odds = own[numbers] / probabilities[numbers, best[numbers]]
    numbers = numbers[np.argsort(odds, kind="stable")]
    return LabelErrors(numbers, best[numbers], joint)


def _confident_classes(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The class that each image is confidently of, -1 where there is none, `(images,)`."""
    classes = probabilities.shape[1]
    counts = np.bincount(labels, minlength=classes)
    own = probabilities[np.arange(len(labels)), labels]
    means = np.bincount(labels, weights=own, minlength=classes) / np.maximum(counts, 1)
    # A class without images has no threshold, and nothing is of it.
    thresholds = np.where(counts > 0, means, np.inf)
    above = np.where(probabilities >= thresholds - 1e-12, probabilities, -1.0)
    best = above.argmax(1)
    return np.where(above[np.arange(len(labels)), best] >= 0, best, -1)


def _calibrated(joint: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The joint with as many images of each given class as there are."""
    counts = np.bincount(labels, minlength=len(joint))
    sums = joint.sum(1)
    # Where no image of a class is confident, all are taken for right.
    whole = np.where((sums == 0)[:, None], np.diag(np.maximum(counts, 1)), joint)
    return np.asarray(whole / whole.sum(1, keepdims=True) * counts[:, None])
