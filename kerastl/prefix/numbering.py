"""Number the samples of a data set. Worker processes import it: no Keras here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


class Numbered:
    """A data set whose samples come with their numbers.

    Args:
        dataset: A map-style data set.
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> tuple[int, Any]:
        return index, self._dataset[index]

    def broken_images(self) -> Any:
        """Those of the data set."""
        return self._dataset.broken_images()


class NumberedCollate:
    """Batches as the loader makes them, with the numbers of their samples in front.

    Args:
        collate: The loader's own.
    """

    def __init__(self, collate: Any) -> None:
        self._collate = collate

    def __call__(self, samples: Sequence[tuple[int, Any]]) -> tuple[np.ndarray, Any]:
        batch = self._collate([sample for _, sample in samples])
        # Our own data sets give None for a broken image, which the batch leaves out.
        sound = [number for number, sample in samples if sample is not None]
        return np.array(sound, np.int64), batch


def as_numbers(numbers: Sequence[int]) -> np.ndarray:
    """A batch of numbers alone."""
    return np.array(numbers, np.int64)
