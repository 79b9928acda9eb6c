"""Keras's data adapters: how `fit` makes batches of arrays and loaders.

Keras 3.15 has no public base class for a source of batches that reads as
tensors of the current backend, and no public way to what `fit` itself makes
of an array: order, sample weights, the last batch, `validation_split`.
"""

from __future__ import annotations

from typing import Any

from keras.src.trainers.data_adapters import data_adapter_utils, get_data_adapter
from keras.src.trainers.data_adapters.array_slicing import train_validation_split
from keras.src.trainers.data_adapters.data_adapter import DataAdapter

__all__ = [
    "AdapterAround",
    "DataAdapter",
    "data_adapter_utils",
    "get_data_adapter",
    "train_validation_split",
]


class AdapterAround(DataAdapter):
    """An adapter around one of Keras's: as many batches, of the same sizes.

    Args:
        inner: Keras's own adapter.
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def on_epoch_begin(self) -> None:
        """As the inner one."""
        self._inner.on_epoch_begin()

    def on_epoch_end(self) -> None:
        """As the inner one: from Keras 3.16 on, its order goes by the epochs that have ended."""
        self._inner.on_epoch_end()

    @property
    def num_batches(self) -> int | None:
        """How many; None where that is not known."""
        count: int | None = self._inner.num_batches
        return count

    @property
    def batch_size(self) -> int | None:
        """Images of a batch."""
        size: int | None = self._inner.batch_size
        return size

    @property
    def has_partial_batch(self) -> bool | None:
        """Whether the last batch has fewer."""
        found: bool | None = self._inner.has_partial_batch
        return found

    @property
    def partial_batch_size(self) -> int | None:
        """How many it has."""
        size: int | None = self._inner.partial_batch_size
        return size
