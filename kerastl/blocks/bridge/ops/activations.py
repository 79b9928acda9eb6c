"""Activations, arithmetic, softmax, dropout and stochastic depth."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from kerastl.blocks.bridge.call import Call, in_full
from kerastl.blocks.bridge.layouts import Value, aligned

Operation = Callable[..., Any]


def elementwise(function: Callable[[Any], Any]) -> Operation:
    """An operation on each number by itself."""

    def apply(call: Call, input: Value, inplace: bool = False) -> Value:
        return input.like(function(input.data))

    return apply


def arithmetic(function: Callable[[Any, Any], Any]) -> Operation:
    """An operation of two tensors, or of a tensor and a number, with torch's broadcasting."""

    def apply(call: Call, input: Any, other: Any, *, alpha: float = 1) -> Value:
        (first, second), axes = aligned((input, other))
        return Value(function(first, second * alpha if alpha != 1 else second), axes)

    return apply


def reflected(function: Callable[[Any, Any], Any]) -> Operation:
    """The same with its two sides exchanged, as `rsub`."""

    def apply(call: Call, input: Any, other: Any) -> Value:
        (first, second), axes = aligned((input, other))
        return Value(function(second, first), axes)

    return apply


def gelu(call: Call, input: Value, approximate: str = "none") -> Value:
    """Gaussian error linear unit (Hendrycks and Gimpel, 2016)."""
    return input.like(ops.gelu(input.data, approximate=approximate == "tanh"))


def leaky_relu(
    call: Call, input: Value, negative_slope: float = 0.01, inplace: bool = False
) -> Value:
    """`x` where positive, else `negative_slope * x`."""
    return input.like(ops.leaky_relu(input.data, negative_slope=negative_slope))


def elu(call: Call, input: Value, alpha: float = 1.0, inplace: bool = False) -> Value:
    """`x` where positive, else `alpha * (exp(x) - 1)`."""
    return input.like(ops.elu(input.data, alpha=alpha))


def clamp(call: Call, input: Value, min: Any = None, max: Any = None) -> Value:
    """Nothing below `min`, nothing above `max`."""
    values = input.data
    if min is not None:
        values = ops.maximum(values, min)
    if max is not None:
        values = ops.minimum(values, max)
    return input.like(values)


def hardtanh(
    call: Call, input: Value, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Value:
    """Nothing below `min_val`, nothing above `max_val`."""
    return clamp(call, input, min_val, max_val)


def softmax(
    call: Call, input: Value, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Value:
    """Shares along an axis that sum to 1, computed in float32."""
    if dim is None or dtype is not None:
        raise NotImplementedError("softmax without dim, or with dtype")
    shares = ops.softmax(in_full(input.data), axis=input.position(dim))
    return input.like(ops.cast(shares, input.data.dtype))


def dropout(
    call: Call, input: Value, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Value:
    """Zeros with probability `p` in training mode, the rest scaled up."""
    if not training or p == 0 or not call.stochastic:
        return input
    return input.like(keras.random.dropout(input.data, p, seed=call.seed))


def stochastic_depth(call: Call, input: Value, p: float, mode: str, training: bool = True) -> Value:
    """Drop the branch of a whole image ("row") or batch (Huang et al., 2016)."""
    if not training or p == 0 or not call.stochastic:
        return input
    first = ops.shape(input.data)[input.position(0)] if mode == "row" else 1
    shape = [first if axis == 0 else 1 for axis in input.axes]
    survives = keras.random.uniform(shape, seed=call.seed) >= p
    kept = 1 - p
    scale = ops.cast(survives, input.data.dtype) / (kept if kept > 0 else 1)
    return input.like(input.data * scale)


def matmul(call: Call, input: Value, other: Value) -> Value:
    """Matrix product over the last two axes."""
    first, second = (call.computed(value.in_torch_order()) for value in (input, other))
    outputs = ops.matmul(first, second)
    return Value(outputs, tuple(range(len(outputs.shape))))


def einsum(call: Call, equation: str, *operands: Any) -> Value:
    """Sum of products, by the letters of the equation."""
    if len(operands) == 1 and isinstance(operands[0], list | tuple):
        operands = tuple(operands[0])
    tensors = [call.computed(value.in_torch_order()) for value in operands]
    outputs = ops.einsum(equation, *tensors)
    return Value(outputs, tuple(range(len(outputs.shape))))


ADD = arithmetic(operator.add)
SUBTRACT = arithmetic(operator.sub)
MULTIPLY = arithmetic(operator.mul)
DIVIDE = arithmetic(operator.truediv)
POWER = arithmetic(operator.pow)
