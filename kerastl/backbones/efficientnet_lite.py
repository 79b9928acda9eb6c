"""EfficientNet-Lite as a plain torch module.

EfficientNet without squeeze-and-excitation, with ReLU6, and with stem and top
of fixed width (Tan and Le, 2019; the Lite variants: TensorFlow, 2020). Module
names follow the published torch weights. Padding is TensorFlow's "same", which
at stride 2 is not symmetric.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import nn
from torchvision.ops import StochasticDepth

_STEM_WIDTH, _TOP_WIDTH = 32, 1280
# kernel, stride, expansion, output channels, repeats: at width and depth 1
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_WIDTH_STEP = 8
_STOCHASTIC_DEPTH = 0.2
# The original trained with a momentum of 0.01. Over the few hundred steps of fine-tuning that
# leaves the moving statistics at ImageNet's while the weights move on; PyTorch's 0.1 follows.
_BatchNorm = partial(nn.BatchNorm2d, eps=1e-3)


class _SameConv2d(nn.Conv2d):
    """Convolution without bias, padded so that size = ceil(input size / stride).

    For an odd kernel at least as large as the stride. There is no branch on
    the image's size, so that `torch.fx` can trace it.
    """

    # A batch norm behind it can be folded in: the output is linear in weight and bias.
    takes_batch_norm = True

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1
    ) -> None:
        padding = (kernel - 1) // 2 if stride == 1 else 0
        super().__init__(
            inputs, outputs, kernel, stride=stride, padding=padding, groups=groups, bias=False
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.stride[0] > 1:
            height, width = (self._missing(images.size(axis)) for axis in (-2, -1))
            before_h, before_w = height // 2, width // 2
            images = nn.functional.pad(
                images, (before_w, width - before_w, before_h, height - before_h)
            )
        return nn.functional.conv2d(
            images, self.weight, self.bias, self.stride, self.padding, 1, self.groups
        )

    def _missing(self, size: int) -> int:
        """Rows that the last window lacks: what is over after it, up to the next stride."""
        return self.kernel_size[0] - self.stride[0] + (-size) % self.stride[0]


class _InvertedResidual(nn.Module):
    def __init__(
        self, inputs: int, outputs: int, *, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        width = inputs * expansion
        self._expands = expansion != 1
        self._adds = stride == 1 and inputs == outputs
        if self._expands:
            self._expand_conv = _SameConv2d(inputs, width, 1)
            self._bn0 = _BatchNorm(width)
        self._depthwise_conv = _SameConv2d(width, width, kernel, stride=stride, groups=width)
        self._bn1 = _BatchNorm(width)
        self._project_conv = _SameConv2d(width, outputs, 1)
        self._bn2 = _BatchNorm(outputs)
        self._relu = nn.ReLU6(inplace=True)
        self._drop = StochasticDepth(0.0, "row")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = images
        if self._expands:
            x = self._relu(self._bn0(self._expand_conv(x)))
        x = self._relu(self._bn1(self._depthwise_conv(x)))
        x = self._bn2(self._project_conv(x))
        return images + self._drop(x) if self._adds else x


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite with its 1,000-class layer.

    Takes images `(batch, 3, height, width)`, scaled as `(pixels - 127) / 128`;
    gives logits `(batch, 1000)`.

    Args:
        width: Factor on the channels of every stage; 1 for Lite0.
        depth: Factor on the blocks of every stage but the first and the last;
            1 for Lite0.
    """

    def __init__(self, *, width: float = 1.0, depth: float = 1.0) -> None:
        super().__init__()
        self._conv_stem = _SameConv2d(3, _STEM_WIDTH, 3, stride=2)
        self._bn0 = _BatchNorm(_STEM_WIDTH)
        self._blocks = nn.Sequential(*_inverted_residuals(width, depth))
        self._conv_head = _SameConv2d(_channels(_STAGES[-1][3], width), _TOP_WIDTH, 1)
        self._bn1 = _BatchNorm(_TOP_WIDTH)
        self._relu0 = nn.ReLU6(inplace=True)
        self._relu1 = nn.ReLU6(inplace=True)
        self._avgpool = nn.AdaptiveAvgPool2d(1)
        self._fc = nn.Linear(_TOP_WIDTH, 1000)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self._relu0(self._bn0(self._conv_stem(images)))
        x = self._relu1(self._bn1(self._conv_head(self._blocks(x))))
        return self._fc(torch.flatten(self._avgpool(x), 1))


def _inverted_residuals(width: float, depth: float) -> list[_InvertedResidual]:
    blocks: list[_InvertedResidual] = []
    inputs = _STEM_WIDTH
    for number, (kernel, stride, expansion, channels, repeats) in enumerate(_STAGES):
        outputs = _channels(channels, width)
        is_scaled = 0 < number < len(_STAGES) - 1
        for repeat in range(math.ceil(repeats * depth) if is_scaled else repeats):
            blocks.append(
                _InvertedResidual(
                    outputs if repeat else inputs,
                    outputs,
                    kernel=kernel,
                    stride=1 if repeat else stride,
                    expansion=expansion,
                )
            )
        inputs = outputs
    for index, block in enumerate(blocks):
        block._drop.p = _STOCHASTIC_DEPTH * index / len(blocks)
    return blocks


def _channels(channels: int, width: float) -> int:
    """The nearest multiple of 8 to `channels * width`, at most a tenth below it."""
    wanted = channels * width
    nearest = max(_WIDTH_STEP, int(wanted + _WIDTH_STEP / 2) // _WIDTH_STEP * _WIDTH_STEP)
    return nearest if nearest >= 0.9 * wanted else nearest + _WIDTH_STEP
