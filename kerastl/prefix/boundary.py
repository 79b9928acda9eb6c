"""The boundary: where the frozen prefix of a classifier ends."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kerastl.blocks.block import HEAD
from kerastl.blocks.running import as_list


@dataclass(frozen=True)
class Boundary:
    """The end of the unbroken run of frozen blocks at the input side.

    Attributes:
        blocks: Names of the frozen blocks before it, input side first.
        layer: The last layer before it: the last of the blocks, or the pooling
            where the whole backbone is frozen.
        shapes: Shape of each tensor at the boundary, without the batch.
        dtype: Their type.
        image_shape: Height, width and channels of the model's images.
    """

    blocks: tuple[str, ...]
    layer: str
    shapes: tuple[tuple[int, ...], ...]
    dtype: str
    image_shape: tuple[int, ...]

    @property
    def bytes_per_image(self) -> int:
        """Size of the features of one image."""
        values = sum(math.prod(shape) for shape in self.shapes)
        return values * storage_type(self.dtype).itemsize


def boundary_of(model: Any) -> Boundary | None:
    """Where the frozen prefix ends now; None where the first block trains."""
    blocks = itertools.takewhile(lambda block: not block.trainable, model.blocks[:-1])
    names = tuple(block.name for block in blocks)
    return _boundary_after(model, names) if names else None


def end_of_backbone(model: Any) -> Boundary:
    """The boundary in front of the head, whatever is frozen."""
    return _boundary_after(model, model.block_names[:-1])


def _boundary_after(model: Any, names: tuple[str, ...]) -> Boundary:
    last = names[-1]
    if names == model.block_names[:-1]:
        # Pooling has no weights: what the head takes is the smallest thing to keep.
        last = model.layers[[layer.name for layer in model.layers].index(HEAD) - 1].name
    outputs = as_list(model.get_layer(last).output)
    shapes = tuple(tuple(output.shape[1:]) for output in outputs)
    image_shape = tuple(model.inputs[0].shape[1:])
    return Boundary(names, last, shapes, str(outputs[0].dtype), image_shape)


def storage_type(dtype: str) -> np.dtype[Any]:
    """NumPy's type for a Keras type, bfloat16 among them."""
    if dtype == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(keras.backend.standardize_dtype(dtype))
