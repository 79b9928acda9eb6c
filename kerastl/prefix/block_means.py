"""What every block gives for images, averaged over height and width, in one pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from kerastl.blocks.running import as_list, layers_before, no_gradients
from kerastl.prefix.features import as_array

MeansFunction = Callable[[Any], dict[str, np.ndarray]]


def block_means(model: Any) -> MeansFunction:
    """A function from pixels to the spatial mean behind each block, in inference mode.

    On torch, blocks run as copies with their batch norms folded in, made now:
    later changes of the weights are not seen.

    Args:
        model: A classifier with the pooling "avg", so that the mean behind its
            last block before the head is what enters the head.

    Returns:
        A function of pixels `(batch, height, width, 3)`, which gives block name
        -> float32 `(batch, features)`, input side first, the head left out.
    """
    names = model.block_names[:-1]
    calls = [(layer.name, _call_of(model, layer)) for layer in layers_before(model, names[-1])]

    def means(images: Any) -> dict[str, np.ndarray]:
        found, values = {}, images
        with no_gradients():
            for name, call in calls:
                values = call(values)
                if name in names:
                    found[name] = as_array(_mean(values)).astype("float32", copy=False)
        return found

    return means


def _call_of(model: Any, layer: Any) -> Callable[[Any], Any]:
    is_block = layer.name in model.block_names
    if keras.backend.backend() == "torch":
        from kerastl.prefix.torch_function import inference_call

        return inference_call(layer, is_block=is_block)
    if is_block:
        return lambda values: layer(values, training=False)
    return lambda values: layer(values)


def _mean(values: Any) -> Any:
    """The mean over all axes but the first and the last; of several tensors, side by side."""
    means = [
        keras.ops.mean(each, axis=tuple(range(1, len(each.shape) - 1)))
        if len(each.shape) > 2
        else each
        for each in as_list(values)
    ]
    return means[0] if len(means) == 1 else keras.ops.concatenate(means, axis=-1)
