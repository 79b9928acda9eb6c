"""Convolutions and linear layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from kerastl.bridge.call import Call
from kerastl.bridge.layouts import Value, image


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
    if groups == channels > 1 and strides[0] == strides[1]:
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
