"""Pooling over height and width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from kerastl.blocks.bridge.call import Call, mean_of
from kerastl.blocks.bridge.layouts import Value, image
from kerastl.blocks.bridge.ops.convolutions import pair


def max_pool2d(
    call: Call,
    input: Value,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Value:
    """Largest value of each window; what lies outside the image counts as minus infinity."""
    if pair(dilation) != (1, 1) or return_indices:
        raise NotImplementedError("dilation and return_indices of max_pool2d")
    window, strides = pair(kernel_size), pair(stride or kernel_size)
    images = input.channels_last()
    spans = _spans(input, window, strides, pair(padding), ceil_mode)
    if any(before or after for before, after in spans):
        widths = [(0, 0), *spans, (0, 0)]
        images = ops.pad(images, widths, constant_values=-np.inf)
    return image(ops.max_pool(images, window, strides, "valid", data_format="channels_last"))


def avg_pool2d(
    call: Call,
    input: Value,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Value:
    """Mean of each window.

    With `count_include_pad` the padding counts as zeros; what a window of
    `ceil_mode` reaches beyond it never counts.
    """
    window, strides, pads = pair(kernel_size), pair(stride or kernel_size), pair(padding)
    images = input.channels_last()
    spans = _spans(input, window, strides, pads, ceil_mode)
    area = window[0] * window[1]
    if any(before or after for before, after in spans):
        images = ops.pad(images, [(0, 0), *spans, (0, 0)])
    means = ops.average_pool(images, window, strides, "valid", data_format="channels_last")
    counts = np.outer(
        *(
            _counts(size, w, s, p, span, count_include_pad)
            for size, w, s, p, span in zip(_sizes(input), window, strides, pads, spans, strict=True)
        )
    )
    if divisor_override:
        counts = np.full_like(counts, divisor_override)
    if (counts != area).any():
        scale = (area / counts)[None, :, :, None]
        means = means * ops.cast(scale, means.dtype)
    return image(means)


def adaptive_avg_pool2d(call: Call, input: Value, output_size: Any) -> Value:
    """Means of windows that share the image out evenly among the outputs."""
    images = input.channels_last()
    if output_size in (1, (1, 1), [1, 1]):
        return image(mean_of(images, (1, 2), keepdims=True))
    rows, columns = (_share(size, target) for size, target in _targets(input, output_size))
    images = ops.einsum("bhwc,yh->bywc", images, ops.cast(rows, images.dtype))
    return image(ops.einsum("bywc,xw->byxc", images, ops.cast(columns, images.dtype)))


def adaptive_max_pool2d(
    call: Call, input: Value, output_size: Any, return_indices: bool = False
) -> Value:
    """Largest values, where the image can be shared out into equal windows."""
    if return_indices:
        raise NotImplementedError("return_indices of adaptive_max_pool2d")
    window = []
    for size, target in _targets(input, output_size):
        if size % target:
            raise NotImplementedError("adaptive_max_pool2d of windows of unequal size")
        window.append(size // target)
    return max_pool2d(call, input, tuple(window))


def _targets(input: Value, output_size: Any) -> list[tuple[int, int]]:
    wanted = output_size if isinstance(output_size, Sequence) else (output_size, output_size)
    return [
        (size, size if target is None else int(target))
        for size, target in zip(_sizes(input), wanted, strict=True)
    ]


def _sizes(input: Value) -> tuple[int, ...]:
    return tuple(int(size) for size in input.shape[2:])


def _share(size: int, target: int) -> np.ndarray:
    """Weight of each input in each output, `(target, size)`: rows sum to 1."""
    weights = np.zeros((target, size))
    for index in range(target):
        start, end = index * size // target, -(-(index + 1) * size // target)
        weights[index, start:end] = 1 / (end - start)
    return weights


def _spans(
    input: Value,
    window: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int],
    ceil_mode: bool,
) -> list[tuple[int, int]]:
    """Rows to put before and after, for height and width, so that a plain pooling fits."""
    spans = []
    for size, w, s, p in zip(_sizes(input), window, strides, pads, strict=True):
        free = size + 2 * p - w
        count = free // s + 1
        # One more window where it does not fit, if it begins in the image or before it.
        if ceil_mode and free % s and count * s < size + p:
            count += 1
        spans.append((p, max((count - 1) * s + w - size - p, 0)))
    return spans


def _counts(
    size: int, window: int, stride: int, pad: int, span: tuple[int, int], include_pad: bool
) -> np.ndarray:
    """How many positions count in each window along one axis."""
    padded = np.zeros(sum(span) + size)
    if include_pad:
        padded[: size + 2 * pad] = 1
    else:
        padded[pad : pad + size] = 1
    starts = range(0, len(padded) - window + 1, stride)
    return np.array([padded[start : start + window].sum() for start in starts])
