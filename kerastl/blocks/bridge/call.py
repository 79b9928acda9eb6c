"""The state that all operations of one call of a block share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from kerastl.blocks.bridge.layouts import Value


@dataclass(frozen=True)
class Call:
    """One call of a block.

    Attributes:
        training: Whether the block runs in training mode.
        seed: Source of the random numbers of dropout and stochastic depth.
        compute_dtype: What convolutions and matrix products compute in.
        stochastic: Whether dropout and stochastic depth do anything.
        renews_statistics: Whether batch norm normalizes by the batch and moves
            its statistics.
    """

    training: bool
    seed: keras.random.SeedGenerator
    compute_dtype: str
    stochastic: bool = True
    renews_statistics: bool = False

    def computed(self, tensor: Any) -> Any:
        """The tensor in the type that convolutions and matrix products compute in."""
        return ops.cast(tensor, self.compute_dtype)


def in_full(tensor: Any) -> Any:
    """The tensor in float32, float64 as it is: what norms and softmax compute in."""
    return tensor if _is_float64(tensor) else ops.cast(tensor, "float32")


def mean_of(tensor: Any, axis: Any, *, keepdims: bool = False) -> Any:
    """Keras's mean, in float64 where the tensor is: Keras 3.15 computes it in float32."""
    if not _is_float64(tensor):
        return ops.mean(tensor, axis=axis, keepdims=keepdims)
    total = ops.sum(tensor, axis=axis, keepdims=keepdims)
    return total / ops.cast(ops.size(tensor) / ops.size(total), tensor.dtype)


def _is_float64(tensor: Any) -> bool:
    return bool(keras.backend.standardize_dtype(tensor.dtype) == "float64")


@dataclass(frozen=True)
class Weights:
    """The parameters and buffers of one module, by their own names.

    Attributes:
        path: Qualified name of the module.
        values: Every value of the block by its qualified name.
    """

    path: str
    values: dict[str, Value]

    def __getitem__(self, name: str) -> Value:
        return self.values[f"{self.path}.{name}" if self.path else name]

    def get(self, name: str) -> Value | None:
        """The value, or None where the module has none of this name."""
        return self.values.get(f"{self.path}.{name}" if self.path else name)
