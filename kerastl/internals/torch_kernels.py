"""Layers of Keras that call torch's own kernels, for Keras networks on the torch backend.

Keras 3.15 computes batch norm on torch as a subtraction, a product and a sum,
and copies every image tensor to channels first and back around a convolution
or pooling. These layers give the same numbers from torch's fused batch norm,
and hand torch the same memory as a channels-last view.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import torch
from torch.nn import functional

from kerastl.internals.keras_connections import all_layers
from kerastl.internals.keras_norms import layers_with_statistics
from kerastl.processes.share import images_of_all


def use_torch_kernels(network: keras.Model) -> None:
    """Let the convolutions, batch norms and poolings of a network call torch directly.

    Weights, names, configuration and saved files stay as they are.

    Args:
        network: The network; its layers are changed in place.
    """
    for layer in all_layers(network):
        faster = _FASTER.get(type(layer))
        if faster is not None and getattr(layer, "data_format", "channels_last") == "channels_last":
            layer.__class__ = faster


def norms_of_other_kinds(network: keras.Model) -> list[str]:
    """What layers of a network have moving statistics and do not renew them by torch's kernel."""
    return [
        type(layer).__name__
        for layer in layers_with_statistics(network)
        if not isinstance(layer, BatchNormalization)
        or layer.renorm
        or layer.axis not in (-1, len(layer.input.shape) - 1)
    ]


class Conv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` without a copy of the images."""

    def call(self, inputs: Any) -> Any:
        outputs = _convolved(self, inputs, self.kernel, inputs.shape[-1] // self.kernel.shape[2])
        return outputs if self.activation is None else self.activation(outputs)


class DepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """`keras.layers.DepthwiseConv2D` without a copy of the images."""

    def call(self, inputs: Any) -> Any:
        height, width, channels, multiplier = self.kernel.shape
        # (kh, kw, in, multiplier) -> (kh, kw, 1, in * multiplier)
        kernel = torch.reshape(_value(self.kernel), (height, width, 1, channels * multiplier))
        outputs = _convolved(self, inputs, kernel, channels)
        return outputs if self.activation is None else self.activation(outputs)


class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` through torch's fused kernel.

    The moving variance follows the batch's biased variance, as Keras has it.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        is_last = self.axis in (-1, len(inputs.shape) - 1)
        per_channel = math.prod(inputs.shape[1:-1])
        count = 0 if inputs.is_meta else per_channel * images_of_all(inputs.shape[0])
        if mask is not None or self.renorm or not is_last or inputs.is_meta or count < 2:
            return super().call(inputs, training=training, mask=mask)
        images = inputs.movedim(-1, 1)
        mean, variance = _value(self.moving_mean), _value(self.moving_variance)
        gamma, beta = (_value(each) for each in (self.gamma, self.beta))
        if not (training and self.trainable):
            outputs = functional.batch_norm(images, mean, variance, gamma, beta, eps=self.epsilon)
            return outputs.movedim(1, -1)
        # With a momentum of 1, torch leaves the batch's own statistics in these.
        batch_mean, batch_variance = torch.zeros_like(mean), torch.zeros_like(variance)
        outputs = functional.batch_norm(
            images, batch_mean, batch_variance, gamma, beta, True, 1.0, self.epsilon
        )
        with torch.no_grad():
            biased = batch_variance * ((count - 1) / count)
            self.moving_mean.assign(torch.lerp(batch_mean, mean, self.momentum))
            self.moving_variance.assign(torch.lerp(biased, variance, self.momentum))
        return outputs.movedim(1, -1)


class MaxPooling2D(keras.layers.MaxPooling2D):
    """`keras.layers.MaxPooling2D` without a copy of the images."""

    def call(self, inputs: Any) -> Any:
        if self.padding != "valid":
            return super().call(inputs)
        images = inputs.permute(0, 3, 1, 2)
        return functional.max_pool2d(images, self.pool_size, self.strides).permute(0, 2, 3, 1)


class AveragePooling2D(keras.layers.AveragePooling2D):
    """`keras.layers.AveragePooling2D` without a copy of the images."""

    def call(self, inputs: Any) -> Any:
        if self.padding != "valid":
            return super().call(inputs)
        images = inputs.permute(0, 3, 1, 2)
        return functional.avg_pool2d(images, self.pool_size, self.strides).permute(0, 2, 3, 1)


_FASTER: dict[type, type] = {
    keras.layers.Conv2D: Conv2D,
    keras.layers.DepthwiseConv2D: DepthwiseConv2D,
    keras.layers.BatchNormalization: BatchNormalization,
    keras.layers.MaxPooling2D: MaxPooling2D,
    keras.layers.AveragePooling2D: AveragePooling2D,
}


def _value(variable: Any) -> Any:
    """The tensor of a variable, in the type that a mixed-precision policy computes in."""
    return getattr(variable, "value", variable)


def _convolved(layer: Any, inputs: Any, kernel: Any, groups: int) -> Any:
    """Images `(batch, height, width, channels)` through torch's convolution, bias included.

    Args:
        layer: Has strides, dilation, padding and bias.
        inputs: The images.
        kernel: `(kh, kw, in / groups, out)`.
        groups: Groups of channels.
    """
    images = inputs.permute(0, 3, 1, 2)
    # (kh, kw, in, out) -> (out, in, kh, kw)
    weight = _value(kernel).permute(3, 2, 0, 1)
    padding: tuple[int, ...] = (0, 0)
    if layer.padding == "same":
        before, after = zip(
            *(
                _same_padding(images.shape[2 + axis], weight.shape[2 + axis], layer, axis)
                for axis in (0, 1)
            ),
            strict=True,
        )
        if before == after:
            padding = before
        else:
            images = functional.pad(images, (before[1], after[1], before[0], after[0]))
    bias = _value(layer.bias) if layer.use_bias else None
    outputs = functional.conv2d(
        images, weight, bias, tuple(layer.strides), padding, tuple(layer.dilation_rate), groups
    )
    return outputs.permute(0, 2, 3, 1)


def _same_padding(size: int, kernel: int, layer: Any, axis: int) -> tuple[int, int]:
    """Rows in front and behind, so that the output has ceil(size / stride) rows."""
    stride, dilation = layer.strides[axis], layer.dilation_rate[axis]
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2
