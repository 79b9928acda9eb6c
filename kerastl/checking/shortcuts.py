"""Whether classes can be told apart by size, file type or brightness alone.

A small tree that sees nothing else is judged on images that it was not grown on. A camera, a
scanner or a web page that belongs to one class shows so, and a network may learn just that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kerastl.checking.finding import SHORTCUT, Finding
from kerastl.checking.inventory import Inventory
from kerastl.checking.reading import Facts
from kerastl.evaluation.intervals import wilson
from kerastl.solving.folds import fold_numbers

_DEPTH, _FEWEST_IN_LEAF = 6, 5
_FEWEST_OF_CLASS = 10
# The share of the way from chance to certainty that the lower end of an interval must be beyond.
# Brightness is of what is shown as well: night is darker than day, and is meant to be.
_TELLING = {"image size": 0.25, "file type": 0.25, "brightness": 0.6}
# A class alone must be found nearly always, and seldom where it is not.
_TELLING_CLASS = {"image size": 0.6, "file type": 0.6, "brightness": 0.8}
_MOST_LISTED = 3


@dataclass(frozen=True)
class Shortcut:
    """How well a property alone tells classes apart.

    Attributes:
        name: The property.
        accuracy: Mean over classes of the share that is recognised.
        error: Its standard error.
        chance: What guessing gives: 1 / classes.
        recalls: Share of each class that is recognised, `(classes,)`.
        low: Of each class, lower end of the interval of recall less the upper end of the share
            of other images that are taken for it.
        classes: Numbers of the classes that were looked at.
    """

    name: str
    accuracy: float
    error: float
    chance: float
    recalls: np.ndarray
    low: np.ndarray
    classes: np.ndarray

    @property
    def is_telling(self) -> bool:
        """Whether the property is more than a hint."""
        above = (self.accuracy - 1.96 * self.error - self.chance) / (1 - self.chance)
        return above > _TELLING[self.name]

    @property
    def telling_classes(self) -> np.ndarray:
        """Numbers of classes that it alone is enough for."""
        return self.classes[self.low > _TELLING_CLASS[self.name]]


def shortcuts_found(
    inventory: Inventory, facts: Facts, groups: np.ndarray, *, seed: int = 0
) -> Iterator[Finding]:
    """A finding for each property that tells classes, or a class, apart.

    Args:
        inventory: The images.
        facts: What they are like.
        groups: Images of one number are held out together.
        seed: Number that fixes the folds.
    """
    if not inventory.is_of_classes:
        return
    for name, columns in _properties(facts).items():
        found = told_apart(name, columns, inventory.labels, facts.is_sound, groups, seed=seed)
        if found is None:
            continue
        names = inventory.class_names
        if found.is_telling:
            best = found.classes[np.argsort(-found.recalls, kind="stable")][:_MOST_LISTED]
            listed = ", ".join(repr(names[number]) for number in best)
            yield Finding(
                SHORTCUT,
                f"The {name} alone tells classes apart: {100 * found.accuracy:.0f} ± "
                f"{196 * found.error:.0f} % of each class are recognised by it, by chance "
                f"{100 * found.chance:.0f} %; best {listed}",
            )
            continue
        for number in found.telling_classes[:_MOST_LISTED]:
            recall = found.recalls[np.flatnonzero(found.classes == number)[0]]
            yield Finding(
                SHORTCUT,
                f"The {name} alone tells the class {names[number]!r}: {100 * recall:.0f} % of it "
                "are recognised by it, and few others are taken for it",
            )


def told_apart(
    name: str,
    columns: np.ndarray,
    labels: np.ndarray,
    chosen: np.ndarray,
    groups: np.ndarray,
    *,
    seed: int = 0,
) -> Shortcut | None:
    """How well a small tree tells classes apart by some columns; None where it cannot be said.

    Args:
        name: What the columns are.
        columns: `(images, columns)`.
        labels: Class of each image, `(images,)`.
        chosen: Which images count, bool, `(images,)`.
        groups: Images of one number are held out together, `(images,)`.
        seed: Number that fixes the folds.
    """
    counts = np.bincount(labels[chosen])
    classes = np.flatnonzero(counts >= _FEWEST_OF_CLASS)
    use = np.flatnonzero(chosen & np.isin(labels, classes))
    if len(classes) < 2 or not np.ptp(columns[use], axis=0).any():
        return None
    truth, given = _out_of_fold(columns[use], labels[use], groups[use], seed)
    recalls, lows, variances = [], [], []
    for number in classes:
        own = truth == number
        right = int((given[own] == number).sum())
        false = int((given[~own] == number).sum())
        recalls.append(right / own.sum())
        lows.append(wilson(right, int(own.sum()))[0] - wilson(false, int((~own).sum()))[1])
        variances.append(recalls[-1] * (1 - recalls[-1]) / own.sum())
    error = float(np.sqrt(np.sum(variances)) / len(classes))
    accuracy, chance = float(np.mean(recalls)), 1 / len(classes)
    return Shortcut(name, accuracy, error, chance, np.array(recalls), np.array(lows), classes)


def _out_of_fold(
    columns: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The class of each image that was held out, and what a tree without it gave."""
    from sklearn.tree import DecisionTreeClassifier

    classes = np.unique(labels, return_inverse=True)[1]
    together = groups if len(np.unique(groups)) < len(groups) else None
    folds = fold_numbers(classes, len(classes), groups=together, seed=seed)
    given = np.full(len(labels), -1)
    for fold in range(int(folds.max()) + 1):
        tree = DecisionTreeClassifier(
            max_depth=_DEPTH,
            min_samples_leaf=_FEWEST_IN_LEAF,
            class_weight="balanced",
            random_state=seed,
        )
        held_out = folds == fold
        tree.fit(columns[~held_out], labels[~held_out])
        given[held_out] = tree.predict(columns[held_out])
    held = folds >= 0
    return labels[held], given[held]


def _properties(facts: Facts) -> dict[str, np.ndarray]:
    """Columns of each property, `(images, columns)`."""
    width, height = (np.log(np.maximum(side, 1)) for side in (facts.widths, facts.heights))
    kinds = np.array([f"{f} {m}" for f, m in zip(facts.formats, facts.modes, strict=True)])
    names, number = np.unique(kinds, return_inverse=True)
    return {
        "image size": np.stack([width, height, width - height, width + height], 1),
        "file type": np.eye(len(names))[number],
        "brightness": facts.brightness[:, None],
    }
