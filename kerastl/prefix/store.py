"""The rows of the cache, in memory or in a memory-mapped file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from kerastl.prefix.boundary import Boundary, storage_type


class FeatureStore:
    """The features at a boundary, one row per image and view.

    On disk it is a file without a name: it is gone with the process, however
    that ends, and no later run can take it for its own.

    Args:
        boundary: Shape and type of a row.
        num_rows: Images times views.
        on_disk: Whether the rows are in a memory-mapped file.

    Attributes:
        known: Whether each row has been written, `(num_rows,)`.

    Raises:
        OSError: If the disk has no room for all rows.
    """

    def __init__(self, boundary: Boundary, num_rows: int, *, on_disk: bool = False) -> None:
        self.known: np.ndarray = np.zeros(num_rows, bool)
        self.on_disk = on_disk
        dtype = storage_type(boundary.dtype)
        self._arrays = [
            _rows_on_disk((num_rows, *shape), dtype)
            if on_disk
            else np.empty((num_rows, *shape), dtype)
            for shape in boundary.shapes
        ]

    @property
    def num_bytes(self) -> int:
        """Size of all rows."""
        return sum(array.nbytes for array in self._arrays)

    def put(self, rows: np.ndarray, values: Sequence[np.ndarray]) -> None:
        """Write rows; `values` has an array `(rows, ...)` per tensor at the boundary."""
        for array, value in zip(self._arrays, values, strict=True):
            array[rows] = value
        self.known[rows] = True

    def get(self, rows: np.ndarray) -> list[np.ndarray]:
        """Copies of rows, in the order asked for."""
        return [array.take(rows, axis=0) for array in self._arrays]

    @property
    def rows(self) -> list[np.ndarray]:
        """All rows as they are kept, an array per tensor; not for writing."""
        return list(self._arrays)

    def clear(self) -> None:
        """Forget every row."""
        self.known[:] = False


def _rows_on_disk(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    size = int(np.prod(shape)) * dtype.itemsize
    with tempfile.TemporaryFile(prefix="kerastl-") as file:
        # Room for all of it now: a full disk under a mapped file would end the process.
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
        mapped = np.memmap(file, np.uint8, mode="r+", shape=(size,))
    rows: np.ndarray = mapped.view(dtype).reshape(shape)
    return rows
