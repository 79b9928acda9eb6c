"""The frozen prefix on the torch backend: folded, without autograd, channels last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from kerastl.blocks.running import as_list, layers_before
from kerastl.blocks.torch_block import TorchBlock
from kerastl.internals.tensor_versions import version_of
from kerastl.prefix.boundary import Boundary
from kerastl.prefix.folding import folded


class TorchPrefix:
    """Compute the features at the boundary from images.

    A torch block runs as a copy with its batch norms folded in, made anew
    where its weights have changed. Under a mixed-precision policy the copy is
    in the policy's type. Layers of Keras run as they are.

    Args:
        model: The classifier.
        boundary: Where its frozen prefix ends.
    """

    def __init__(self, model: Any, boundary: Boundary) -> None:
        self._layers = layers_before(model, boundary.layer)
        self._block_names = model.block_names
        self._made_for: tuple[int, ...] | None = None
        self._calls: list[Callable[[Any], Any]] = []

    def __call__(self, images: Any) -> list[torch.Tensor]:
        """Tensors `(batch, ...)` on the model's device."""
        now = self._versions()
        if now != self._made_for:
            self._calls = [
                inference_call(layer, is_block=layer.name in self._block_names)
                for layer in self._layers
            ]
            self._made_for = now
        with torch.no_grad():
            values = images
            for call in self._calls:
                values = call(values)
        return as_list(values)

    def _versions(self) -> tuple[int, ...]:
        """Torch counts changes in place, but for those by `tensor.data`."""
        return tuple(
            version_of(tensor)
            for layer in self._layers
            if isinstance(layer, TorchBlock)
            for tensor in (*layer.module.parameters(), *layer.module.buffers())
        )


def inference_call(layer: Any, *, is_block: bool) -> Callable[[Any], Any]:
    """What a layer does in inference mode; a torch block runs as a folded copy.

    Args:
        layer: A layer of a classifier.
        is_block: Whether it is one of the classifier's blocks, which have a training mode.
    """
    if isinstance(layer, TorchBlock):
        return layer.inference_call(folded(layer.module))
    if is_block:
        return lambda values: layer(values, training=False)
    return lambda values: layer(values)


def numpy_of(tensor: torch.Tensor) -> np.ndarray:
    """A tensor as an array in main memory, bfloat16 among the types."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        import ml_dtypes

        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def tensor_of(array: np.ndarray) -> torch.Tensor:
    """The same back, on the same memory."""
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)
