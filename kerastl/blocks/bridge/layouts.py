"""Tensors whose axes stand in another order than torch sees.

Torch's images are `(batch, channels, height, width)`. Convolutions on JAX and
TensorFlow are fast on `(batch, height, width, channels)`. So a value keeps its
tensor in the order that suits the backend and remembers which of torch's axes
stands where. A permutation then moves no data: it only renames the axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keras import ops

CHANNELS_LAST = (0, 2, 3, 1)
"""Torch's axes of an image in the order batch, height, width, channels."""


@dataclass(frozen=True)
class Value:
    """A tensor, and the order that it stands in.

    Attributes:
        data: The backend's tensor.
        axes: The torch axis of each of the tensor's axes.
        variable: The Keras variable that the tensor was read from, if any.
    """

    data: Any
    axes: tuple[int, ...]
    variable: Any = None

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.axes)

    @property
    def shape(self) -> tuple[Any, ...]:
        """Size of each axis in torch's order: integers, or scalars where only a run knows."""
        sizes = ops.shape(self.data)
        return tuple(sizes[self.position(axis)] for axis in range(self.ndim))

    def position(self, axis: int) -> int:
        """Where a torch axis stands; negative axes count from the end."""
        return self.axes.index(axis % self.ndim)

    def positions(self, axes: Sequence[int]) -> list[int]:
        """Where several torch axes stand."""
        return [self.position(axis) for axis in axes]

    def standing(self, axes: Sequence[int]) -> Any:
        """The tensor with its axes in this order."""
        axes = tuple(axes)
        if axes == self.axes:
            return self.data
        return ops.transpose(self.data, [self.axes.index(axis) for axis in axes])

    def in_torch_order(self) -> Any:
        """The tensor as torch sees it."""
        return self.standing(range(self.ndim))

    def channels_last(self) -> Any:
        """An image `(batch, channels, height, width)` as `(batch, height, width, channels)`."""
        return self.standing(CHANNELS_LAST)

    def like(self, data: Any) -> Value:
        """Another tensor that stands in the same order."""
        return Value(data, self.axes)


def plain(data: Any) -> Value:
    """A tensor in torch's own order."""
    return Value(data, tuple(range(len(data.shape))))


def image(data: Any) -> Value:
    """A tensor `(batch, height, width, channels)` that torch sees with its channels second."""
    return Value(data, CHANNELS_LAST)


def permuted(value: Value, order: Sequence[int]) -> Value:
    """Torch's `permute`: no data moves."""
    order = [axis % value.ndim for axis in order]
    return Value(value.data, tuple(order.index(axis) for axis in value.axes))


def aligned(values: Sequence[Any]) -> tuple[list[Any], tuple[int, ...]]:
    """Tensors that broadcast as torch broadcasts them, and the order that they stand in.

    Args:
        values: Values and plain numbers.

    Returns:
        Tensors with as many axes each, numbers as they were, and the order of
        the value that has the most axes.
    """
    leading = max((v for v in values if isinstance(v, Value)), key=lambda v: v.ndim)
    tensors = [
        _broadcastable(value, leading.axes) if isinstance(value, Value) else value
        for value in values
    ]
    return tensors, leading.axes


def _broadcastable(value: Value, axes: tuple[int, ...]) -> Any:
    missing = len(axes) - value.ndim
    if not missing:
        return value.standing(axes)
    if value.ndim == 0:
        return value.data
    # Torch lines axes up from the right: the missing ones are in front.
    tensor = value.standing([axis - missing for axis in axes if axis >= missing])
    for position, axis in enumerate(axes):
        if axis < missing:
            tensor = ops.expand_dims(tensor, position)
    return tensor
