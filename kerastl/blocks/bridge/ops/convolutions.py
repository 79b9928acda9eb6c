"""Convolutions and linear layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from kerastl.blocks.bridge.call import Call
from kerastl.blocks.bridge.layouts import Value, image


def conv2d(
    call: Call,
    input: Value,
    weight: Value,
    bias: Value | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Value:
    """Cross-correlation of `(batch, channels, height, width)` with a kernel, zeros around."""
    strides, dilations = pair(stride), pair(dilation)
    images = call.computed(input.channels_last())
    kernel_size = tuple(int(size) for size in weight.shape[2:])
    reach = [d * (k - 1) for k, d in zip(kernel_size, dilations, strict=True)]
    images, mode = _padded(images, padding, reach, strides)
    options = {
        "strides": strides[0] if strides[0] == strides[1] else strides,
        "padding": mode,
        "data_format": "channels_last",
        "dilation_rate": dilations,
    }
    kernel = call.computed(weight.in_torch_order())
    channels = int(input.shape[1])
    if groups == channels == int(weight.shape[0]) > 1 and _prefers_shifts():
        # (channels, 1, kh, kw) -> (kh, kw, channels)
        kernel = ops.transpose(ops.squeeze(kernel, 1), (1, 2, 0))
        outputs = _depthwise_by_shifts(images, kernel, mode, strides, dilations)
    elif groups == channels > 1 and strides[0] == strides[1]:
        # (in * multiplier, 1, kh, kw) -> (kh, kw, in, multiplier)
        kernel = ops.reshape(kernel, (channels, -1, *kernel_size))
        outputs = ops.depthwise_conv(images, ops.transpose(kernel, (2, 3, 0, 1)), **options)
    else:
        # (out, in / groups, kh, kw) -> (kh, kw, in / groups, out)
        outputs = ops.conv(images, ops.transpose(kernel, (2, 3, 1, 0)), **options)
    if bias is not None:
        outputs = outputs + call.computed(bias.data)
    return image(outputs)


def linear(call: Call, input: Value, weight: Value, bias: Value | None = None) -> Value:
    """`input @ weight.T + bias` over the last axis; weights are `(out, in)`."""
    last = input.ndim - 1
    # The order of the other axes is free: only the last must stand last.
    axes = (*(axis for axis in input.axes if axis != last), last)
    kernel = ops.transpose(call.computed(weight.data), (1, 0))
    outputs = ops.matmul(call.computed(input.standing(axes)), kernel)
    if bias is not None:
        outputs = outputs + call.computed(bias.data)
    return Value(outputs, axes)


def pair(value: Any) -> tuple[int, int]:
    """The two sizes that torch takes as one number or as two."""
    if isinstance(value, Sequence):
        first, *rest = value
        return int(first), int(rest[0] if rest else first)
    return int(value), int(value)


def _padded(
    images: Any, padding: Any, reach: Sequence[int], strides: tuple[int, int]
) -> tuple[Any, str]:
    """The images with zeros around them, and how Keras is to pad what is left.

    Torch pads both sides alike. Keras's "same" does so at stride 1, where the
    kernel reaches as far to either side; at stride 2 it does not.
    """
    if isinstance(padding, str):
        if padding == "same":
            return images, "same"
        padding = 0
    sizes = pair(padding)
    if sizes == (0, 0):
        return images, "valid"
    if strides == (1, 1) and all(2 * p == r for p, r in zip(sizes, reach, strict=True)):
        return images, "same"
    return ops.pad(images, [(0, 0), *((p, p) for p in sizes), (0, 0)]), "valid"


def _prefers_shifts() -> bool:
    """Whether depthwise convolutions are faster as sums of shifted images.

    XLA runs them in a plain loop on processors: 10 to 20 times slower.
    """
    if keras.backend.backend() != "jax":
        return False
    import jax

    return bool(jax.default_backend() == "cpu")


def _depthwise_by_shifts(
    images: Any,
    kernel: Any,
    mode: str,
    strides: tuple[int, int],
    dilations: tuple[int, int],
) -> Any:
    """Depthwise convolution: for each place of the kernel, the image shifted there, weighted."""
    rows, columns = (int(size) for size in kernel.shape[:2])
    reach = dilations[0] * (rows - 1), dilations[1] * (columns - 1)
    if mode == "same":
        sides = [(r // 2, r - r // 2) for r in reach]
        images = ops.pad(images, [(0, 0), *sides, (0, 0)])
    height, width = (
        (int(size) - r - 1) // s
        for size, r, s in zip(images.shape[1:3], reach, strides, strict=True)
    )
    total = None
    for row in range(rows):
        for column in range(columns):
            top, left = row * dilations[0], column * dilations[1]
            shifted = images[
                :,
                top : top + height * strides[0] + 1 : strides[0],
                left : left + width * strides[1] + 1 : strides[1],
            ]
            weighted = shifted * kernel[row, column]
            total = weighted if total is None else total + weighted
    return total
