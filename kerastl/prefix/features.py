"""What passes the boundary for numbered images: kept where it is known, computed where not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from kerastl.prefix.boundary import Boundary
from kerastl.prefix.functions import PrefixFunction
from kerastl.prefix.store import FeatureStore


class BoundaryFeatures:
    """The features of one data source at the boundary.

    Args:
        boundary: Where the frozen prefix ends.
        store: A row per image and view.
        function: Computes what is not in the store.
        num_images: Images of the source.
        views: Views of each image that are kept.

    Attributes:
        view: The view of this epoch.
        is_on: False once the prefix has changed under a running `fit`: the
            images themselves are used from then on.
        before_each_batch: Looks whether the prefix is still the same; it may
            turn `is_on` off or have the rows forgotten. Call it before a batch
            is looked up.
    """

    def __init__(
        self,
        boundary: Boundary,
        store: FeatureStore,
        function: PrefixFunction,
        *,
        num_images: int,
        views: int = 1,
    ) -> None:
        self.boundary = boundary
        self.store = store
        self.view = 0
        self.views = views
        self.is_on = True
        self.before_each_batch: Callable[[], None] = _nothing
        self._function = function
        self._num_images = num_images

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        """The store's rows of some images in this epoch's view."""
        return numbers + self.view * self._num_images

    def is_complete(self, absent: np.ndarray) -> bool:
        """Whether every image of this epoch's view is in the store, those aside that are absent."""
        start = self.view * self._num_images
        return bool((self.store.known[start : start + self._num_images] | absent).all())

    def missing(self, numbers: np.ndarray) -> np.ndarray:
        """Which of some images will be computed: those that are not in the store.

        A compiled function takes all or none: a batch of another size would be
        compiled anew.
        """
        missing = ~self.store.known[self.rows(numbers)]
        if keras.backend.backend() != "torch" and missing.any():
            missing[:] = True
        return missing

    def restart(self, function: PrefixFunction) -> None:
        """Forget every row; compute them anew with another function."""
        self._function = function
        self.store.clear()

    def of(self, numbers: np.ndarray, pixels: Callable[[np.ndarray], Any]) -> dict[str, Any]:
        """What passes the boundary for some images, as the model takes it.

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
            values = self._function(images)
            self.store.put(rows[missing], [as_array(value) for value in values])
            if missing.all():
                return self._named(values)
        return self._named([as_tensor(array) for array in self.store.get(rows)])

    def _check_size(self, images: Any) -> None:
        """A pooled vector would fit whatever the size of the images was."""
        shape, wanted = tuple(images.shape[1:]), self.boundary.image_shape
        if shape != wanted:
            raise ValueError(
                f"Images must have the shape {wanted} of the classifier. Received: {shape}. "
                f"Load them with image_size={wanted[0]}, or build the classifier with theirs."
            )

    def _named(self, values: Sequence[Any]) -> dict[str, Any]:
        return {self.boundary.layer: values[0] if len(values) == 1 else list(values)}


def _nothing() -> None:
    pass


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

    def get(self, rows: np.ndarray) -> list[np.ndarray]:
        """What came with some images."""
        return [column[rows] for column in self._columns]
