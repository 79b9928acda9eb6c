"""Batch, layer and group normalization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from kerastl.blocks.bridge.call import Call, in_full, mean_of
from kerastl.blocks.bridge.layouts import Value, plain


def batch_norm(
    call: Call,
    input: Value,
    running_mean: Value | None,
    running_var: Value | None,
    weight: Value | None = None,
    bias: Value | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Value:
    """Normalize each channel, by the batch in training mode, else by the moving statistics.

    Training moves the statistics as torch does: towards the batch's mean and
    its unbiased variance, by `momentum`.
    """
    images = in_full(input.data)
    channel = input.position(1)
    shape = [-1 if axis == channel else 1 for axis in range(input.ndim)]
    others = [axis for axis in range(input.ndim) if axis != channel]
    if training or running_mean is None or running_var is None:
        mean = mean_of(images, others)
        centered = images - ops.reshape(mean, shape)
        variance = mean_of(ops.square(centered), others)
        if running_mean is not None and running_var is not None:
            count = ops.cast(ops.size(images) / ops.size(mean), images.dtype)
            unbiased = variance * (count / (count - 1.0))
            _move(running_mean, mean, momentum)
            _move(running_var, unbiased, momentum)
    else:
        centered = images - ops.reshape(running_mean.data, shape)
        variance = running_var.data
    factor = ops.rsqrt(variance + eps)
    if weight is not None:
        factor = factor * weight.data
    outputs = centered * ops.reshape(factor, shape)
    if bias is not None:
        outputs = outputs + ops.reshape(bias.data, shape)
    return input.like(ops.cast(outputs, input.data.dtype))


def _move(statistic: Value, batch: Any, momentum: Any) -> None:
    moved = statistic.data + momentum * (batch - statistic.data)
    statistic.variable.assign(ops.stop_gradient(moved))


def layer_norm(
    call: Call,
    input: Value,
    normalized_shape: Sequence[int],
    weight: Value | None = None,
    bias: Value | None = None,
    eps: float = 1e-5,
) -> Value:
    """Normalize each image over its last axes."""
    count = len(normalized_shape)
    last = range(input.ndim - count, input.ndim)
    axes = (*(axis for axis in input.axes if axis not in last), *last)
    values = in_full(input.standing(axes))
    outputs = _standardized(values, list(range(-count, 0)), eps)
    return Value(ops.cast(_scaled(outputs, weight, bias), input.data.dtype), axes)


def group_norm(
    call: Call,
    input: Value,
    num_groups: int,
    weight: Value | None = None,
    bias: Value | None = None,
    eps: float = 1e-5,
) -> Value:
    """Normalize each image over its groups of channels."""
    axes = (0, *range(2, input.ndim), 1)
    values = in_full(input.standing(axes))
    sizes = ops.shape(values)
    grouped = ops.reshape(values, (-1, *sizes[1:-1], num_groups, sizes[-1] // num_groups))
    over = [*range(1, input.ndim - 1), input.ndim]
    outputs = ops.reshape(_standardized(grouped, over, eps), (-1, *sizes[1:]))
    return Value(ops.cast(_scaled(outputs, weight, bias), input.data.dtype), axes)


def normalize(
    call: Call, input: Value, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: None = None
) -> Value:
    """Divide by the Euclidean norm along an axis."""
    if p != 2 or out is not None:
        raise NotImplementedError("normalize by another norm than p=2, or with out")
    norm = ops.sqrt(ops.sum(ops.square(input.data), axis=input.position(dim), keepdims=True))
    return input.like(input.data / ops.maximum(norm, eps))


def _standardized(values: Any, axes: Sequence[int], eps: float) -> Any:
    centered = values - mean_of(values, axes, keepdims=True)
    variance = mean_of(ops.square(centered), axes, keepdims=True)
    return centered * ops.rsqrt(variance + eps)


def _scaled(values: Any, weight: Value | None, bias: Value | None) -> Any:
    if weight is not None:
        values = values * weight.data
    return values if bias is None else values + bias.data


def counted(tracked: Value) -> Value:
    """The number of batches that batch norm has seen, one more."""
    seen = tracked.data + 1
    tracked.variable.assign(seen)
    return plain(seen)
