"""The conversion table: the `keras.ops` counterpart of each torch operation and module.

A new operation is one entry here and one row of `tests/other_backends/test_operations.py`.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping

from keras import ops
from torch import nn

from kerastl.blocks.bridge import modules
from kerastl.blocks.bridge.modules import ModuleOperation, without_settings
from kerastl.blocks.bridge.ops import (
    activations,
    attention,
    convolutions,
    normalization,
    pooling,
    shapes,
)
from kerastl.blocks.bridge.ops.activations import Operation, elementwise

RELU = elementwise(ops.relu)
RELU6 = elementwise(ops.relu6)
SILU = elementwise(ops.silu)
SIGMOID = elementwise(ops.sigmoid)
TANH = elementwise(ops.tanh)
HARDSIGMOID = elementwise(ops.hard_sigmoid)
HARDSWISH = elementwise(ops.hard_silu)
SOFTPLUS = elementwise(ops.softplus)
MISH = elementwise(lambda x: x * ops.tanh(ops.softplus(x)))

OPERATIONS: Mapping[str, Operation] = {
    # The name of a function of torch, torchvision or `operator`, or of a tensor's
    # method. A trailing underscore, for in place, is left off; `x += y` is traced as `x + y`.
    # === Arithmetic ===
    "add": activations.ADD,
    "sub": activations.SUBTRACT,
    "rsub": activations.reflected(operator.sub),
    "mul": activations.MULTIPLY,
    "div": activations.DIVIDE,
    "truediv": activations.DIVIDE,
    "pow": activations.POWER,
    "neg": elementwise(operator.neg),
    "exp": elementwise(ops.exp),
    "log": elementwise(ops.log),
    "sqrt": elementwise(ops.sqrt),
    "rsqrt": elementwise(ops.rsqrt),
    "abs": elementwise(ops.abs),
    "square": elementwise(ops.square),
    "clamp": activations.clamp,
    "matmul": activations.matmul,
    "bmm": activations.matmul,
    "einsum": activations.einsum,
    # === Activations ===
    "relu": RELU,
    "relu6": RELU6,
    "hardtanh": activations.hardtanh,
    "silu": SILU,
    "sigmoid": SIGMOID,
    "tanh": TANH,
    "hardsigmoid": HARDSIGMOID,
    "hardswish": HARDSWISH,
    "softplus": SOFTPLUS,
    "mish": MISH,
    "gelu": activations.gelu,
    "leaky_relu": activations.leaky_relu,
    "elu": activations.elu,
    "softmax": activations.softmax,
    "dropout": activations.dropout,
    "stochastic_depth": activations.stochastic_depth,
    # === Layers ===
    "conv2d": convolutions.conv2d,
    "linear": convolutions.linear,
    "batch_norm": normalization.batch_norm,
    "layer_norm": normalization.layer_norm,
    "group_norm": normalization.group_norm,
    "normalize": normalization.normalize,
    "max_pool2d": pooling.max_pool2d,
    "avg_pool2d": pooling.avg_pool2d,
    "adaptive_avg_pool2d": pooling.adaptive_avg_pool2d,
    "adaptive_max_pool2d": pooling.adaptive_max_pool2d,
    "scaled_dot_product_attention": attention.scaled_dot_product_attention,
    "shifted_window_attention": attention.shifted_window_attention,
    "_get_relative_position_bias": attention.relative_position_bias,
    "_patch_merging_pad": attention.patch_merging_pad,
    # === Shapes ===
    "getattr": shapes.get_attribute,
    "getitem": shapes.get_item,
    "size": shapes.size,
    "dim": shapes.dim,
    "reshape": shapes.reshape,
    "view": shapes.reshape,
    "flatten": shapes.flatten,
    "permute": shapes.permute,
    "transpose": shapes.transpose,
    "swapaxes": shapes.transpose,
    "unsqueeze": shapes.unsqueeze,
    "squeeze": shapes.squeeze,
    "expand": shapes.expand,
    "cat": shapes.concatenate,
    "concat": shapes.concatenate,
    "stack": shapes.stack,
    "chunk": shapes.chunk,
    "split": shapes.split,
    "mean": shapes.mean,
    "sum": shapes.total,
    "amax": shapes.largest,
    "pad": shapes.pad,
    "roll": shapes.roll,
    "contiguous": shapes.same,
    "clone": shapes.same,
    "float": shapes.cast_float,
    "_assert": shapes.confirm,
}

MODULES: Mapping[type[nn.Module], ModuleOperation] = {
    nn.Conv2d: modules.conv2d,
    nn.Linear: modules.linear,
    nn.BatchNorm1d: modules.batch_norm,
    nn.BatchNorm2d: modules.batch_norm,
    nn.LayerNorm: modules.layer_norm,
    nn.GroupNorm: modules.group_norm,
    nn.MultiheadAttention: modules.multi_head_attention,
    nn.MaxPool2d: modules.max_pool,
    nn.AvgPool2d: modules.avg_pool,
    nn.AdaptiveAvgPool2d: modules.adaptive_avg_pool,
    nn.AdaptiveMaxPool2d: modules.adaptive_max_pool,
    nn.Dropout: modules.dropout,
    nn.Flatten: modules.flatten,
    nn.Identity: modules.same,
    nn.Softmax: modules.softmax,
    nn.GELU: modules.gelu,
    nn.LeakyReLU: modules.leaky_relu,
    nn.ELU: modules.elu,
    nn.ReLU: without_settings(RELU),
    nn.ReLU6: without_settings(RELU6),
    nn.SiLU: without_settings(SILU),
    nn.Sigmoid: without_settings(SIGMOID),
    nn.Tanh: without_settings(TANH),
    nn.Hardsigmoid: without_settings(HARDSIGMOID),
    nn.Hardswish: without_settings(HARDSWISH),
    nn.Mish: without_settings(MISH),
}
