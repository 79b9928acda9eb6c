"""Where the frozen prefix of a classifier ends, and what passes there."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kerastl.blocks import HEAD


@dataclass(frozen=True)
class Boundary:
    """The end of the unbroken run of frozen blocks at the input side.

    Attributes:
        blocks: Names of the frozen blocks before it, input side first.
        layer: The last layer before it: the last of the blocks, or the pooling
            where the whole backbone is frozen.
        shapes: Shape of each tensor that passes, without the batch.
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
        """Size of what passes for one image."""
        values = sum(math.prod(shape) for shape in self.shapes)
        return values * storage_type(self.dtype).itemsize


def boundary_of(model: Any) -> Boundary | None:
    """Where the frozen prefix ends now; None where the first block trains."""
    blocks = itertools.takewhile(lambda block: not block.trainable, model.blocks[:-1])
    names = tuple(block.name for block in blocks)
    if not names:
        return None
    last = names[-1]
    if names == model.block_names[:-1]:
        # Pooling has no weights: what the head takes is the smallest thing to keep.
        last = model.layers[[layer.name for layer in model.layers].index(HEAD) - 1].name
    outputs = as_list(model.get_layer(last).output)
    shapes = tuple(tuple(output.shape[1:]) for output in outputs)
    image_shape = tuple(model.inputs[0].shape[1:])
    return Boundary(names, last, shapes, str(outputs[0].dtype), image_shape)


def layers_before(model: Any, layer: str) -> list[Any]:
    """The layers from the pixels to `layer`, itself included."""
    names = [each.name for each in model.layers]
    return list(model.layers[1 : names.index(layer) + 1])


def layers_after(model: Any, layer: str) -> list[Any]:
    """The layers behind `layer`, the head last."""
    names = [each.name for each in model.layers]
    return list(model.layers[names.index(layer) + 1 :])


def run_layers(model: Any, layers: Sequence[Any], values: Any, *, training: bool | None) -> Any:
    """Layers one after the other; only blocks have a training mode."""
    for layer in layers:
        is_block = layer.name in model.block_names
        values = layer(values, training=training) if is_block else layer(values)
    return values


def storage_type(dtype: str) -> np.dtype[Any]:
    """NumPy's type for a Keras type, bfloat16 among them."""
    if dtype == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(keras.backend.standardize_dtype(dtype))


def as_list(values: Any) -> list[Any]:
    """What passes a boundary as a list: most networks have one tensor there."""
    return list(values) if isinstance(values, list | tuple) else [values]


def no_gradients() -> contextlib.AbstractContextManager[Any]:
    """Within the block, torch keeps nothing for gradients; the others keep none anyway."""
    if keras.backend.backend() != "torch":
        return contextlib.nullcontext()
    import torch

    return torch.no_grad()
