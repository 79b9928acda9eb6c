"""Features and targets to solve a head for, in one piece or many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Rows:
    """Features with what is to be predicted from them.

    Attributes:
        features: Arrays `(rows, features)` of any floating type, in memory or
            mapped from a file, one after the other; none is copied whole.
        targets: Class numbers, int64, `(rows,)`, or numbers from 0 to 1 or of
            any size, float32, `(rows, outputs)`.
        weights: How much each row counts, 0 or more, float64, `(rows,)`.
        num_outputs: Classes, or numbers to predict.
    """

    features: Sequence[np.ndarray]
    targets: np.ndarray
    weights: np.ndarray
    num_outputs: int

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def num_features(self) -> int:
        """Features of a row."""
        return int(self.features[0].shape[1])

    def chunks(self, size: int, dtype: Any = np.float64) -> Iterator[tuple[slice, np.ndarray]]:
        """The features in order, `size` rows or fewer at a time.

        Args:
            size: Most rows of a chunk.
            dtype: Their type.
        """
        first = 0
        for part in self.features:
            for start in range(0, len(part), size):
                piece = part[start : start + size]
                yield (
                    slice(first + start, first + start + len(piece)),
                    np.asarray(piece, dtype=dtype),
                )
            first += len(part)

    def target_rows(self, rows: slice) -> np.ndarray:
        """Targets of some rows, one column per output, float64."""
        found = self.targets[rows]
        if found.ndim == 2:
            return found.astype(np.float64)
        wide = np.zeros((len(found), self.num_outputs))
        wide[np.arange(len(found)), found] = 1.0
        return wide
