"""The memory layout of what torch keeps beside a weight."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch


def follow_layout(states: Iterable[Any], weights: Iterable[Any]) -> None:
    """Give an optimizer's variables the memory layout of the convolution weights they are for.

    Torch adds tensors of one layout much faster than tensors of two. Values
    stay as they are.

    Args:
        states: Keras variables of an optimizer.
        weights: The Keras variables that it trains.
    """
    channels_last = {
        tuple(weight.shape)
        for weight in weights
        if len(weight.shape) == 4
        and weight.value.is_contiguous(memory_format=torch.channels_last)
        and not weight.value.is_contiguous()
    }
    for state in states:
        if tuple(state.shape) in channels_last:
            tensor = state.value
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
