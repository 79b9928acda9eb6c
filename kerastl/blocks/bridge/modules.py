"""Convert each `torch.nn` module: its settings become arguments of an operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from kerastl.blocks.bridge.call import Call, Weights
from kerastl.blocks.bridge.layouts import Value
from kerastl.blocks.bridge.ops import (
    activations,
    attention,
    convolutions,
    normalization,
    pooling,
    shapes,
)
from kerastl.internals.torch_modules import has_one_embedding_size

ModuleOperation = Callable[..., Any]


def conv2d(call: Call, weights: Weights, module: Any, input: Value) -> Value:
    """`nn.Conv2d`, zeros around."""
    if module.padding_mode != "zeros":
        raise NotImplementedError(f"Conv2d with padding_mode={module.padding_mode!r}")
    return convolutions.conv2d(
        call,
        input,
        weights["weight"],
        weights.get("bias"),
        module.stride,
        module.padding,
        module.dilation,
        module.groups,
    )


def linear(call: Call, weights: Weights, module: Any, input: Value) -> Value:
    """`nn.Linear`."""
    return convolutions.linear(call, input, weights["weight"], weights.get("bias"))


def batch_norm(call: Call, weights: Weights, module: Any, input: Value) -> Value:
    """`nn.BatchNorm1d` and `nn.BatchNorm2d`."""
    momentum = module.momentum
    tracked = weights.get("num_batches_tracked")
    if call.renews_statistics and tracked is not None:
        seen = normalization.counted(tracked)
        if momentum is None:
            momentum = 1.0 / ops.cast(seen.data, weights["running_mean"].data.dtype)
    return normalization.batch_norm(
        call,
        input,
        weights.get("running_mean"),
        weights.get("running_var"),
        weights.get("weight"),
        weights.get("bias"),
        call.renews_statistics,
        momentum,
        module.eps,
    )


def layer_norm(call: Call, weights: Weights, module: Any, input: Value) -> Value:
    """`nn.LayerNorm`."""
    return normalization.layer_norm(
        call,
        input,
        module.normalized_shape,
        weights.get("weight"),
        weights.get("bias"),
        module.eps,
    )


def group_norm(call: Call, weights: Weights, module: Any, input: Value) -> Value:
    """`nn.GroupNorm`."""
    return normalization.group_norm(
        call, input, module.num_groups, weights.get("weight"), weights.get("bias"), module.eps
    )


def max_pool(call: Call, weights: Weights, module: Any, input: Value) -> Value:
    """`nn.MaxPool2d`."""
    return pooling.max_pool2d(
        call,
        input,
        module.kernel_size,
        module.stride,
        module.padding,
        module.dilation,
        module.ceil_mode,
        module.return_indices,
    )


def avg_pool(call: Call, weights: Weights, module: Any, input: Value) -> Value:
    """`nn.AvgPool2d`."""
    return pooling.avg_pool2d(
        call,
        input,
        module.kernel_size,
        module.stride,
        module.padding,
        module.ceil_mode,
        module.count_include_pad,
        module.divisor_override,
    )


def adaptive_avg_pool(call: Call, weights: Weights, module: Any, input: Value) -> Value:
    """`nn.AdaptiveAvgPool2d`."""
    return pooling.adaptive_avg_pool2d(call, input, module.output_size)


def adaptive_max_pool(call: Call, weights: Weights, module: Any, input: Value) -> Value:
    """`nn.AdaptiveMaxPool2d`."""
    return pooling.adaptive_max_pool2d(call, input, module.output_size)


def multi_head_attention(
    call: Call,
    weights: Weights,
    module: Any,
    query: Value,
    key: Value,
    value: Value,
    **options: Any,
) -> tuple[Value, None]:
    """`nn.MultiheadAttention`; the attention itself is not given back."""
    if not has_one_embedding_size(module) or module.bias_k is not None or module.add_zero_attn:
        raise NotImplementedError("MultiheadAttention with kdim, vdim, bias_kv or add_zero_attn")
    if any(options.get(name) is not None for name in ("attn_mask", "key_padding_mask")):
        raise NotImplementedError("MultiheadAttention with a mask")
    return attention.multi_head_attention(call, weights, module, query, key, value), None


def dropout(call: Call, weights: Weights, module: Any, input: Value) -> Value:
    """`nn.Dropout`."""
    return activations.dropout(call, input, module.p, call.training)


def flatten(call: Call, weights: Weights, module: Any, input: Value) -> Value:
    """`nn.Flatten`."""
    return shapes.flatten(call, input, module.start_dim, module.end_dim)


def softmax(call: Call, weights: Weights, module: Any, input: Value) -> Value:
    """`nn.Softmax`."""
    return activations.softmax(call, input, module.dim)


def gelu(call: Call, weights: Weights, module: Any, input: Value) -> Value:
    """`nn.GELU`."""
    return activations.gelu(call, input, module.approximate)


def leaky_relu(call: Call, weights: Weights, module: Any, input: Value) -> Value:
    """`nn.LeakyReLU`."""
    return activations.leaky_relu(call, input, module.negative_slope)


def elu(call: Call, weights: Weights, module: Any, input: Value) -> Value:
    """`nn.ELU`."""
    return activations.elu(call, input, module.alpha)


def same(call: Call, weights: Weights, module: Any, input: Value) -> Value:
    """`nn.Identity`."""
    return input


def without_settings(operation: Callable[..., Any]) -> ModuleOperation:
    """A module that is its operation, with nothing to set."""

    def apply(call: Call, weights: Weights, module: Any, input: Value) -> Value:
        value: Value = operation(call, input)
        return value

    return apply
