"""The same data with other labels or weights in its batches, whatever makes the batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import GeneratorType
from typing import Any

import keras

from kerastl.data.label_changes import ChangedCollate, LabelChange, changed_batch
from kerastl.internals.loaders import is_data_loader, remade


class ChangedDataset(keras.utils.PyDataset):
    """A `PyDataset` with other labels or weights.

    Args:
        dataset: The user's.
        change: Makes the labels and weights.
    """

    def __init__(self, dataset: keras.utils.PyDataset, change: LabelChange) -> None:
        super().__init__(
            workers=dataset.workers,
            use_multiprocessing=dataset.use_multiprocessing,
            max_queue_size=dataset.max_queue_size,
        )
        self._dataset = dataset
        self._change = change

    def __getitem__(self, index: int) -> Any:
        return changed_batch(self._dataset[index], self._change)

    @property
    def num_batches(self) -> int | None:
        """Those of the user's."""
        found: int | None = self._dataset.num_batches
        return found

    def on_epoch_begin(self) -> None:
        """As the user's."""
        self._dataset.on_epoch_begin()

    def on_epoch_end(self) -> None:
        """As the user's."""
        self._dataset.on_epoch_end()


def is_changeable(x: Any) -> bool:
    """Whether `x` makes batches that hold their labels."""
    return (
        isinstance(x, keras.utils.PyDataset | GeneratorType)
        or is_data_loader(x)
        or is_tf_dataset(x)
    )


def with_changed_labels(x: Any, change: LabelChange) -> Any:
    """The same data with other labels or weights in each batch.

    Args:
        x: A `DataLoader`, `PyDataset`, `tf.data.Dataset` or generator.
        change: Makes the labels and weights.

    Raises:
        TypeError: If it is none of these.
    """
    if is_data_loader(x):
        return remade(x, collate=ChangedCollate(x.collate_fn, change))
    if isinstance(x, keras.utils.PyDataset):
        return ChangedDataset(x, change)
    if is_tf_dataset(x):
        return x.map(_of_tensors(change, x.element_spec))
    if isinstance(x, GeneratorType):
        return _generated(x, change)
    raise TypeError(
        "Data whose labels are to be changed must be a DataLoader, a PyDataset, a tf.data.Dataset "
        f"or a generator. Received: {type(x).__name__}. Give them as one of these."
    )


def is_tf_dataset(x: Any) -> bool:
    """Whether `x` is a `tf.data.Dataset`; imports no TensorFlow."""
    return hasattr(x, "element_spec") and any(
        kind.__module__.startswith("tensorflow.") for kind in type(x).__mro__
    )


def _generated(batches: Iterator[Any], change: LabelChange) -> Iterator[Any]:
    for batch in batches:
        yield changed_batch(batch, change)


def _of_tensors(change: LabelChange, spec: Any) -> Callable[..., Any]:
    """The change as a function for `tf.data.Dataset.map`."""
    import numpy as np
    import tensorflow as tf

    if not isinstance(spec, tuple) or len(spec) not in (2, 3):
        changed_batch(spec if isinstance(spec, tuple) else object(), change)  # says what is wrong
    # What the change makes of two labels is what it makes of any number.
    example = [np.zeros([2, *each.shape[1:]], each.dtype.as_numpy_dtype) for each in spec[1:]]
    weights = example[1] if len(example) > 1 else None
    made = [each for each in change(example[0], weights) if each is not None]

    def change_arrays(labels: Any, *weights: Any) -> list[Any]:
        return [each for each in change(labels, *(weights or (None,))) if each is not None]

    def change_tensors(images: Any, *others: Any) -> tuple[Any, ...]:
        found = tf.numpy_function(change_arrays, others, [each.dtype for each in made])
        for tensor, each in zip(found, made, strict=True):
            tensor.set_shape([others[0].shape[0], *each.shape[1:]])
        return (images, *found)

    return change_tensors
