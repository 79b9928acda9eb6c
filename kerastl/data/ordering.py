"""The order of training images: new in every epoch, fixed by seed and epoch number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Sampler


class SeededOrder(Sampler[int]):
    """A new order for every epoch.

    An epoch counts once its last image has been drawn, which worker processes
    do ahead of time: `fit` says by `set_epoch` which order it is at.

    Args:
        num_images: Number of images.
        seed: Number that fixes the orders, 0 or more.
        epoch: A tensor `(1,)` that gets the number of the epoch that is drawn, or None.
    """

    def __init__(self, num_images: int, *, seed: int, epoch: Any = None) -> None:
        self._num_images = num_images
        self._seed = seed
        self._shown = epoch
        self._epoch = 0
        self._start = 0

    @property
    def epoch(self) -> int:
        """Number of the epoch whose order comes next."""
        return self._epoch

    def __len__(self) -> int:
        return self._num_images

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Draw the order of this epoch next.

        Args:
            epoch: Its number, from 0.
            start: How many images of it are left out, as they were drawn before.
        """
        self._epoch, self._start = epoch, start

    def order(self, epoch: int) -> Sequence[int]:
        """The order of an epoch, whole.

        Args:
            epoch: Its number, from 0.
        """
        # Epoch 0 would draw what the split has drawn: seeds are padded with zeros.
        return self._order(np.random.PCG64([self._seed, epoch + 1]))

    def __iter__(self) -> Iterator[int]:
        epoch = self._epoch
        if self._shown is not None:
            self._shown[0] = epoch
        left = self.order(epoch)[self._start :]
        yield from left[:-1]
        # Before the last is given: nobody may ask for more where the last batch is full.
        self._epoch, self._start = epoch + 1, 0
        yield from left[-1:]

    def _order(self, numbers: np.random.PCG64) -> Sequence[int]:
        return _shuffled(np.arange(self._num_images), numbers).tolist()


class BalancedOrder(SeededOrder):
    """As many images of each class in an epoch, or one more; as many in all as there are.

    Images of a rare class come several times, those of a frequent one in turns.

    Args:
        labels: Class of each image, int64, `(images,)`.
        seed: Number that fixes the orders, 0 or more.
        epoch: A tensor `(1,)` that gets the number of the epoch that is drawn, or None.
    """

    def __init__(self, labels: np.ndarray, *, seed: int, epoch: Any = None) -> None:
        super().__init__(len(labels), seed=seed, epoch=epoch)
        self._members = [np.flatnonzero(labels == label) for label in np.unique(labels)]

    def _order(self, numbers: np.random.PCG64) -> Sequence[int]:
        each, left = divmod(len(self), len(self._members))
        one_more = set(_shuffled(np.arange(len(self._members)), numbers)[:left].tolist())
        drawn = []
        for number, members in enumerate(self._members):
            count = each + (number in one_more)
            rounds = -(-count // len(members))
            turns = [_shuffled(members, numbers) for _ in range(rounds)]
            drawn.append(np.concatenate([*turns, members[:0]])[:count])
        return _shuffled(np.concatenate(drawn), numbers).tolist()


def images_of_batches(
    order: Sequence[int], count: int, *, batch_size: int, broken: np.ndarray
) -> int:
    """How many images of an order its first batches were cut from.

    Args:
        order: Numbers of the images.
        count: How many batches were given; one of broken images alone is not.
        batch_size: Images per batch.
        broken: Whether each image is broken, `(images,)`.
    """
    end = 0
    while count and end < len(order):
        batch = order[end : end + batch_size]
        end += len(batch)
        count -= not broken[batch].all()
    return end


def _shuffled(values: np.ndarray, numbers: np.random.PCG64) -> np.ndarray:
    """Values in an order that NumPy promises to stay the same between releases."""
    return values[np.argsort(numbers.random_raw(len(values)), kind="stable")]
