"""Which images each fold holds out, and the data of a run without them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kerastl.data.assigning import draw
from kerastl.data.loading import ImageData
from kerastl.data.parts import NOTHING
from kerastl.data.tasks import CLASSIFICATION
from kerastl.evaluation.folds import small_classes
from kerastl.solving.folds import fold_numbers


@dataclass(frozen=True)
class Folds:
    """The folds of all images but the test.

    Attributes:
        data: The images, in the parts that a run without folds has.
        of_image: Which fold holds each out, from 0, in the order of `data.untested()`; -1:
            none does, int64, `(images,)`.
        seed: Number that fixes the folds, and validation images.
    """

    data: ImageData
    of_image: np.ndarray
    seed: int

    @property
    def count(self) -> int:
        """How many there are: fewer than asked for where there are fewer images."""
        return len(np.unique(self.of_image[self.of_image >= 0]))

    def held_out(self, fold: int) -> np.ndarray:
        """Numbers of the images that a fold holds out."""
        return np.flatnonzero(self.of_image == fold)

    def everything(self) -> ImageData:
        """The data with all images but the test in training."""
        return self.data.with_parts(train=np.arange(len(self.of_image)))

    def without(self, fold: int, *, with_validation: bool) -> ImageData:
        """The data without a fold, which is their test.

        Args:
            fold: Which, from 0.
            with_validation: Whether a part of the training images, as large as the data's own
                validation, is for validation.
        """
        rest = np.flatnonzero(self.of_image != fold)
        validation = self._validation(rest) if with_validation else NOTHING
        return self.data.with_parts(
            train=np.setdiff1d(rest, validation), validation=validation, test=self.held_out(fold)
        )

    def _validation(self, numbers: np.ndarray) -> np.ndarray:
        share = self.data.sizes["validation"] / len(self.of_image)
        if not share:
            return NOTHING
        untested = self.data.untested()
        labels, groups = untested.labels, untested.groups
        names: Sequence[str] = self.data.class_names
        if self.data.task == CLASSIFICATION:
            # The only image of its class is for training.
            several = np.bincount(labels[numbers], minlength=len(names)) > 1
            numbers = numbers[several[labels[numbers]]]
            present, labels = np.unique(labels[numbers], return_inverse=True)
            names = [names[number] for number in present]
        else:
            labels = labels[numbers]
        found = draw(
            labels,
            {"validation": share},
            keys=[untested.key(int(number)) for number in numbers],
            groups=None if groups is None else groups[numbers],
            seed=self.seed,
            class_names=names,
        )
        return numbers[found["validation"]]


def folds_of(data: ImageData, *, folds: int, seed: int) -> Folds:
    """The folds of a run's images.

    Args:
        data: The images.
        folds: How many.
        seed: Number that fixes them.

    Raises:
        ValueError: If no image can be held out.
    """
    untested = data.untested()
    labels = untested.labels
    classes = labels if data.task == CLASSIFICATION else None
    of_image = fold_numbers(classes, len(labels), folds=folds, groups=untested.groups, seed=seed)
    made = Folds(data, of_image, seed)
    if made.count < 2:
        raise ValueError(
            "`folds` must have a class of two images to hold out. Received: "
            f"folds={folds} of {len(labels)} images without one. Add images, or leave it out."
        )
    return made


def notes(data: ImageData, folds: int) -> list[str]:
    """What to know of the folds before they begin, one sentence each.

    Args:
        data: The images.
        folds: How many are asked for.
    """
    if data.task != CLASSIFICATION:
        return []
    sentence = small_classes(data.untested().labels, data.class_names, folds)
    return [] if sentence is None else [sentence]
