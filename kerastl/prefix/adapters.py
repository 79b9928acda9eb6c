"""Keras data adapters that yield cached features instead of images.

The order of the images, their weights, the last partial batch and the number
of steps come from Keras's own adapter or the user's loader, which make batches
of image numbers here: so they are what they would be without the cache.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from kerastl.data.part_of_batches import Blank, PartOfBatches
from kerastl.data.sharding import part_of_adapter
from kerastl.internals.keras_adapters import AdapterAround, data_adapter_utils, get_data_adapter
from kerastl.prefix.features import BoundaryFeatures, LabelRows, as_tensor
from kerastl.prefix.sources import ArraySource, LoaderSource, numbered, numbers_only


class _BoundaryAdapter(AdapterAround):
    """What both kinds of source share.

    Args:
        inner: Keras's adapter of the numbers, or of the user's loader.
        features: The store and the function behind it.
    """

    def __init__(self, inner: Any, features: BoundaryFeatures) -> None:
        super().__init__(inner)
        self._features = features

    def batches(self) -> Iterator[tuple[Any, ...]]:
        """One epoch of `(features, labels, ...)`.

        The iterator behind it is made at once, and not with the first batch: a
        loader draws a random number when it is, as it would without the cache.
        """
        raise NotImplementedError

    def get_torch_dataloader(self) -> Any:
        return _Iterable(self)

    def get_numpy_iterator(self) -> Iterator[tuple[Any, ...]]:
        return self.batches()

    def get_jax_iterator(self, super_batch: int | None = None) -> Iterator[tuple[Any, ...]]:
        if not super_batch:
            return self.batches()
        # From Keras 3.16 on: batches of `steps_per_execution` steps, stacked.
        import jax.numpy as jnp

        stacked: Iterator[tuple[Any, ...]] = data_adapter_utils.super_batch_iterator(
            self.batches(), super_batch, stack_fn=jnp.stack
        )
        return stacked

    def get_tf_dataset(self) -> Any:
        import tensorflow as tf

        first = next(self.batches())
        signature = keras.tree.map_structure(
            lambda value: tf.TensorSpec((None, *value.shape[1:]), value.dtype), first
        )
        return tf.data.Dataset.from_generator(self.batches, output_signature=signature)


class _Iterable:
    """A new epoch each time it is iterated."""

    def __init__(self, adapter: _BoundaryAdapter) -> None:
        self._adapter = adapter

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self._adapter.batches()


class ArrayBatches(_BoundaryAdapter):
    """Batches of arrays.

    Args:
        source: The images.
        numbers: Which of them, in the order of `y`.
        features: The store and the function behind it.
        y: Labels.
        **options: Of Keras's own adapter: `sample_weight`, `batch_size`,
            `shuffle` and so on.
    """

    def __init__(
        self, source: ArraySource, numbers: Any, features: BoundaryFeatures, y: Any, **options: Any
    ) -> None:
        super().__init__(part_of_adapter(get_data_adapter(numbers, y, **options)), features)
        self._source = source
        self._tf_dataset: Any = None

    def batches(self) -> Iterator[tuple[Any, ...]]:
        return self._converted(iter(self._numbered_batches()))

    def _converted(self, numbered_batches: Iterator[Any]) -> Iterator[tuple[Any, ...]]:
        for batch in numbered_batches:
            numbers = np.asarray(keras.ops.convert_to_numpy(batch[0]))
            self._features.refresh()
            if self._features.is_on:
                yield (self._features.of(numbers, self._source.pixels), *batch[1:])
            else:
                yield (as_tensor(self._source.pixels(numbers)), *batch[1:])

    def _numbered_batches(self) -> Any:
        backend = keras.backend.backend()
        if backend == "torch":
            return self._inner.get_torch_dataloader()
        if backend == "jax":
            return self._inner.get_jax_iterator()
        if self._tf_dataset is None:
            self._tf_dataset = self._inner.get_tf_dataset()
        return self._tf_dataset.as_numpy_iterator()


class LoaderBatches(_BoundaryAdapter):
    """Batches of a torch `DataLoader`.

    While images are missing from the store, its own worker processes read
    them; after that, batches are numbers and no image is read.

    Args:
        source: The loader.
        features: The store and the function behind it.
        labels: What came with the images that are in the store.
    """

    def __init__(self, source: LoaderSource, features: BoundaryFeatures, labels: LabelRows) -> None:
        super().__init__(get_data_adapter(source.loader), features)
        self._source = source
        self._loader = source.loader
        self._labels = labels
        self._reading: Any = None

    def batches(self) -> Iterator[tuple[Any, ...]]:
        if self._is_complete():
            self._reading = None  # ends its worker processes
            return self._from_store(numbers_only(self._loader))
        if self._reading is None:
            self._reading = numbered(self._loader)
        return self._while_reading(iter(self._reading))

    def take_again(self, taken: Mapping[int, int | None], set_epoch: Callable[[int], None]) -> None:
        """Keep the features again that were kept in some epochs, in a process that has ended.

        Images that are the same each time need none of it.

        Args:
            taken: Batches that were taken in each of these epochs, None for all.
            set_epoch: Has the loader draw the order of an epoch next.
        """
        if self._source.is_known_to_repeat:
            return
        self._features.store.clear()  # `fit` has tried the model out on a batch of this epoch
        for epoch, batches in taken.items():
            set_epoch(epoch)
            self._features.set_epoch(epoch)
            if self._is_complete():
                continue
            for numbers, batch in itertools.islice(numbered(self._loader), batches):
                self._with_features(numbers, batch)

    def _is_complete(self) -> bool:
        return self._features.is_on and self._features.is_complete(self._source.absent)

    def _while_reading(self, numbered_batches: Iterator[Any]) -> Iterator[Any]:
        for numbers, batch in numbered_batches:
            yield self._with_features(numbers, batch)

    def _from_store(self, numbers_of_batches: Iterator[np.ndarray]) -> Iterator[Any]:
        absent = self._source.absent
        for all_numbers in numbers_of_batches:
            numbers = all_numbers[~absent[all_numbers]]
            if not len(numbers):
                if isinstance(self._loader.batch_sampler, PartOfBatches):
                    yield Blank()
                continue
            self._features.refresh()
            if self._is_complete():
                rows = self._features.rows(numbers)
                columns = [as_tensor(column) for column in self._labels.get(rows)]
                yield (self._features.of(numbers, self._pixels), *columns)
            else:
                yield self._with_features(numbers, self._read(numbers))

    def _with_features(self, numbers: np.ndarray, batch: Any) -> Any:
        if isinstance(batch, Blank):
            return batch
        images, *columns = _checked(batch, len(numbers))
        self._features.look_at(images)
        self._features.refresh()
        if not self._features.is_on:
            return tuple(_for_backend(value) for value in (images, *columns))
        # An image that is kept goes with the labels that it was read with: both may be random.
        rows, missing = self._features.rows(numbers), self._features.missing(numbers)
        arrays = [np.asarray(keras.ops.convert_to_numpy(column)) for column in columns]
        self._labels.put(rows[missing], [array[missing] for array in arrays])
        order = {int(number): position for position, number in enumerate(numbers)}
        features = self._features.of(
            numbers, lambda wanted: images[[order[int(number)] for number in wanted]]
        )
        return (features, *(as_tensor(column) for column in self._labels.get(rows)))

    def _read(self, numbers: np.ndarray) -> Any:
        """Some images and what comes with them, read in this process."""
        return self._loader.collate_fn([self._loader.dataset[int(number)] for number in numbers])

    def _pixels(self, numbers: np.ndarray) -> Any:
        return self._read(numbers)[0]


def _checked(batch: Any, count: int) -> tuple[Any, ...]:
    """A batch as a tuple of tensors with one entry per image.

    Raises:
        ValueError: If it is something else.
    """
    is_sequence = isinstance(batch, list | tuple) and len(batch) >= 2
    if not is_sequence or any(len(getattr(each, "shape", ())) < 1 for each in batch):
        raise ValueError(
            "`cache` needs batches (images, labels) of tensors. Received: a DataLoader that gives "
            f"{type(batch).__name__}. Say cache=False."
        )
    sizes = {int(each.shape[0]) for each in batch}
    if sizes != {count}:
        raise ValueError(
            f"`cache` needs batches with one entry per image. Received: sizes {sorted(sizes)} for "
            f"{count} images. Say cache=False."
        )
    return tuple(batch)


def _for_backend(tensor: Any) -> Any:
    return tensor if keras.backend.backend() == "torch" else np.asarray(tensor)
