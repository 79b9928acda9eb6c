"""Keras's data adapters: how `fit` makes batches of arrays and loaders.

Keras 3.15 has no public base class for a source of batches that reads as
tensors of the current backend, and no public way to what `fit` itself makes
of an array: order, sample weights, the last batch, `validation_split`.
"""

from __future__ import annotations

from keras.src.trainers.data_adapters import data_adapter_utils, get_data_adapter
from keras.src.trainers.data_adapters.array_slicing import train_validation_split
from keras.src.trainers.data_adapters.data_adapter import DataAdapter

__all__ = ["DataAdapter", "data_adapter_utils", "get_data_adapter", "train_validation_split"]
