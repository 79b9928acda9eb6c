"""Cached features of numbered images, computed where they are missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from kerastl.prefix.running import RunningPrefix
from kerastl.prefix.store import FeatureStore


class BoundaryFeatures:
    """The features of one data source at the boundary.

    Args:
        prefix: The frozen prefix: it computes what is not in the store.
        store: A row per image and view.
        num_images: Images of the source.
        views: Views of each image that are kept, one per epoch in turns.
    """

    def __init__(
        self, prefix: RunningPrefix, store: FeatureStore, *, num_images: int, views: int = 1
    ) -> None:
        self._prefix = prefix
        self._store = store
        self._num_images = num_images
        self._views = views
        self._changes = prefix.changes
        self._look_at = getattr(prefix, "look_at", None)

    def look_at(self, images: Any) -> None:
        """Have the model look at the first images of the source, once.

        Raises:
            ValueError: If it cannot take them.
        """
        look_at, self._look_at = self._look_at, None
        if look_at is not None:
            look_at(images)

    @property
    def store(self) -> FeatureStore:
        """Where the rows are."""
        return self._store

    @property
    def is_on(self) -> bool:
        """Whether features are used; if not, the images themselves are, from then on."""
        return self._prefix.is_on

    def refresh(self) -> None:
        """Forget every row where weights have changed; for before a batch is looked up.

        Torch looks at each batch, which costs little there; the others at each
        epoch's start.
        """
        if keras.backend.backend() == "torch":
            self._prefix.refresh()
        if self._changes != self._prefix.changes:
            self._changes = self._prefix.changes
            self._store.clear()

    def set_epoch(self, epoch: int) -> None:
        """Go by the view of this epoch, until the next one begins."""
        self._prefix.epoch = epoch

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        """The store's rows of some images in this epoch's view."""
        return numbers + self._start()

    def is_complete(self, absent: np.ndarray) -> bool:
        """Whether every image of this epoch's view is in the store, those aside that are absent."""
        start = self._start()
        return bool((self._store.known[start : start + self._num_images] | absent).all())

    def missing(self, numbers: np.ndarray) -> np.ndarray:
        """Which of some images will be computed: those that are not in the store.

        A compiled function takes all or none: a batch of another size would be
        compiled anew.
        """
        missing = ~self._store.known[self.rows(numbers)]
        if keras.backend.backend() != "torch" and missing.any():
            missing[:] = True
        return missing

    def of(self, numbers: np.ndarray, pixels: Callable[[np.ndarray], Any]) -> dict[str, Any]:
        """The features of some images, as the model takes them.

        Args:
            numbers: Which images.
            pixels: Gives the pixels of some of them.

        Returns:
            The name of the boundary's layer -> its output, one tensor or a list.

        Raises:
            ValueError: If the images are not of the model's size.
        """
        rows, missing = self.rows(numbers), self.missing(numbers)
        if missing.any():
            images = pixels(numbers[missing])
            self._check_size(images)
            values = self._prefix.function(images)
            self._store.put(rows[missing], [as_array(value) for value in values])
            if missing.all():
                return self._named(values)
        return self._named([as_tensor(array) for array in self._store.get(rows)])

    def _start(self) -> int:
        """The store's first row of this epoch's view."""
        return self._prefix.epoch % self._views * self._num_images

    def _check_size(self, images: Any) -> None:
        """A pooled vector would fit whatever the size of the images was."""
        shape, wanted = tuple(images.shape[1:]), self._prefix.boundary.image_shape
        if shape != wanted:
            raise ValueError(
                f"Images must have the shape {wanted} of the classifier. Received: {shape}. "
                f"Load them with image_size={wanted[0]}, or build the classifier with theirs."
            )

    def _named(self, values: Sequence[Any]) -> dict[str, Any]:
        return {self._prefix.boundary.layer: values[0] if len(values) == 1 else list(values)}


def as_array(value: Any) -> np.ndarray:
    """What a prefix function gives, in main memory."""
    if keras.backend.backend() != "torch":
        return np.asarray(value)
    from kerastl.prefix.torch_function import numpy_of

    return numpy_of(value)


def as_tensor(array: np.ndarray) -> Any:
    """An array as a batch holds it: torch's tensor on torch, else as it is."""
    if keras.backend.backend() != "torch":
        return array
    from kerastl.prefix.torch_function import tensor_of

    return tensor_of(array)


class LabelRows:
    """What comes with the images in a batch: labels and weights, one row per image and view.

    Args:
        num_rows: Images times views.
    """

    def __init__(self, num_rows: int) -> None:
        self._num_rows = num_rows
        self._columns: list[np.ndarray] = []

    def put(self, rows: np.ndarray, columns: Sequence[np.ndarray]) -> None:
        """Remember what came with some images: an array `(rows, ...)` for each column."""
        if not self._columns:
            self._columns = [np.empty((self._num_rows, *c.shape[1:]), c.dtype) for c in columns]
        for kept, column in zip(self._columns, columns, strict=True):
            kept[rows] = column

    @property
    def columns(self) -> list[np.ndarray]:
        """All that came with the images, an array `(rows, ...)` for each column."""
        return self._columns

    def get(self, rows: np.ndarray) -> list[np.ndarray]:
        """What came with some images."""
        return [column[rows] for column in self._columns]
