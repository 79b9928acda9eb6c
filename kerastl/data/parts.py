"""How the batches of each part are made: order, mixing, worker processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerastl.data.augmentation import Augmentation, ChangeImage, MixBatch
from kerastl.data.batches import ImageDataset, collate_sound, image_loader
from kerastl.data.ordering import BalancedOrder, SeededOrder

TRAIN = "train"
NOTHING = np.zeros(0, np.int64)
"""No image."""


@dataclass(frozen=True)
class PartLoading:
    """What `load_data` was told of the batches, for parts that are cut anew.

    Attributes:
        augment: What is changed at random in training.
        sampling: Which images an epoch has, one of `SAMPLINGS`.
        seed: Number that fixes the orders.
        num_workers: Processes that decode.
    """

    augment: Augmentation
    sampling: str
    seed: int
    num_workers: int

    def loaders(self, datasets: Mapping[str, ImageDataset], *, batch_size: int) -> dict[str, Any]:
        """A loader of each part: "train" in a new order every epoch, the others in theirs.

        Args:
            datasets: The images by part.
            batch_size: Images per batch.
        """
        return {
            part: image_loader(
                dataset,
                batch_size=batch_size,
                num_workers=self.num_workers,
                **(self._of_training(dataset) if part == TRAIN else {}),
            )
            for part, dataset in datasets.items()
        }

    def _of_training(self, dataset: ImageDataset) -> dict[str, Any]:
        return {"sampler": self._order(dataset), "collate": self._mixing(dataset)}

    def _order(self, dataset: ImageDataset) -> SeededOrder:
        if self.sampling == "balanced":
            return BalancedOrder(dataset.labels, seed=self.seed, epoch=dataset.epoch)
        return SeededOrder(len(dataset), seed=self.seed, epoch=dataset.epoch)

    def _mixing(self, dataset: ImageDataset) -> MixBatch | None:
        """What mixes the images of a batch, which are then not the same each time."""
        if not self.augment.mixes:
            return None
        dataset.repeats = False
        return MixBatch(
            collate_sound,
            self.augment,
            num_classes=len(dataset.classes),
            seed=self.seed,
            epoch=dataset.epoch,
        )


class UntestedImages:
    """The images that are not the test, by one number each: for folds of them.

    Args:
        datasets: Training images, and those of validation where there are any.

    Attributes:
        labels: Class of each, int64, `(images,)`, or a row for each.
        groups: What each is of, where the source says it, `(images,)`, or None.
    """

    def __init__(self, datasets: Sequence[ImageDataset]) -> None:
        first, *others = datasets
        joined = first.cut(np.arange(len(first)))
        for other in others:
            joined = joined.joined_with(other)
        self._images = joined
        self.labels: np.ndarray = joined.labels
        self.groups: np.ndarray | None = joined.groups

    def __len__(self) -> int:
        return len(self._images)

    def cut(self, numbers: np.ndarray, *, change: ChangeImage | None = None) -> ImageDataset:
        """Some of them as a data set.

        Args:
            numbers: Which of them, int64.
            change: Changes each image at random, or None.
        """
        return self._images.cut(numbers, change=change)

    def key(self, number: int) -> str:
        """What tells an image from the others of its source."""
        return self._images.key(number)

    def name(self, number: int) -> str:
        """What an image is called."""
        return self._images.name(number)

    def fingerprint(self) -> str:
        """A digest of the images, their order and their labels."""
        return self._images.fingerprint()
