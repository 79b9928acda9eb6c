"""Torch functions that look at the whole batch, or draw random numbers for each image of it.

Whatever module calls them, on any device: batch norms that train have the statistics of
all processes, and dropout and stochastic depth draw for the batch of all processes, of
which each takes its part. So the numbers are those of one process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from kerastl.processes.batch_norm import (
    batch_norm_arguments,
    batch_norm_of_all,
    refuse_moving_instance_norm,
)
from kerastl.processes.share import Share

_DROPOUTS = (
    functional.dropout,
    functional.dropout1d,
    functional.dropout2d,
    functional.dropout3d,
)


class WholeBatch(TorchFunctionMode):
    """Within it, a batch is trained as this process's part of the batch of all.

    Args:
        share: What this process has of the batch.
    """

    def __init__(self, share: Share) -> None:
        super().__init__()
        self._share = share

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is functional.batch_norm:
            given = batch_norm_arguments(*args, **kwargs)
            if given["training"]:
                return batch_norm_of_all(self._share, given)
        elif func is functional.instance_norm:
            refuse_moving_instance_norm(*args, **kwargs)
        elif func in _DROPOUTS:
            return self._dropped_out(func, *args, **kwargs)
        elif func is torch.Tensor.bernoulli_:
            return self._drawn_in_place(*args, **kwargs)
        elif func is torch.bernoulli and len(args) == 1 and "p" not in kwargs:
            return self._drawn(*args, **kwargs)
        return func(*args, **kwargs)

    def _dropped_out(
        self,
        func: Callable[..., Any],
        input: Any,
        p: float = 0.5,
        training: bool = True,
        inplace: bool = False,
    ) -> Any:
        if not training or not p or not self._is_batch(input):
            return func(input, p, training, inplace)
        mask = self._part(func(self._whole(input.detach()).fill_(1), p, True))
        return input.mul_(mask) if inplace else input * mask

    def _drawn_in_place(self, tensor: Any, *args: Any, **kwargs: Any) -> Any:
        if not self._is_batch(tensor):
            return tensor.bernoulli_(*args, **kwargs)
        whole = self._whole(tensor).bernoulli_(*args, **kwargs)
        return tensor.copy_(self._part(whole))

    def _drawn(self, probabilities: Any, **kwargs: Any) -> Any:
        # Those of the other images are not known here; Keras gives all images the same.
        if not self._is_batch(probabilities):
            return torch.bernoulli(probabilities, **kwargs)
        whole = self._whole(probabilities)
        whole.copy_(probabilities[:1].expand_as(whole))
        return self._part(torch.bernoulli(whole, **kwargs))

    def _is_batch(self, tensor: Any) -> bool:
        """Whether a tensor has an entry, or as many, for each image."""
        return tensor.ndim > 0 and tensor.shape[0] % self._images == 0

    @property
    def _images(self) -> int:
        """Images of this process, one that stands in included."""
        return max(self._share.count, 1)

    def _whole(self, tensor: Any) -> Any:
        """An empty tensor for the images of all processes, in the same memory layout."""
        count = tensor.shape[0] // self._images * self._share.total
        made = tensor.new_empty((count, *tensor.shape[1:]))
        is_last = tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
        if is_last and not tensor.is_contiguous():
            return made.contiguous(memory_format=torch.channels_last)
        return made

    def _part(self, whole: Any) -> Any:
        """Of what is for all images, what is for those of this process."""
        group, total = self._share.group, self._share.total
        if not self._share.count:
            return whole[: whole.shape[0] // total]
        by_image = whole.unflatten(0, (total, whole.shape[0] // total))
        return by_image[group.rank :: group.world_size].flatten(0, 1)
