"""The gradients of a number with respect to tensors, on whichever backend Keras runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

Function = Callable[[list[Any]], Any]


def value_and_gradients(
    function: Function, tensors: Sequence[Any]
) -> tuple[float, list[np.ndarray]]:
    """What a function gives, and its gradient with respect to each tensor.

    Args:
        function: From the list of tensors to a scalar. It must use those that
            it is given: `model.stateless_call` takes them in the variables' place.
        tensors: Tensors of the current backend.

    Returns:
        The scalar, and a gradient of the shape of each tensor.

    Example:

        value_and_gradients(lambda pair: keras.ops.sum(pair[0] * pair[1]), [a, b])
    """
    value, gradients = _BY_BACKEND[keras.backend.backend()](function, list(tensors))
    return float(keras.ops.convert_to_numpy(value)), [
        np.array(keras.ops.convert_to_numpy(gradient)) for gradient in gradients
    ]


def _torch(function: Function, tensors: list[Any]) -> tuple[Any, Any]:
    import torch

    with torch.enable_grad():
        # Copies: a variable keeps its own gradient, and `predict` gives inference tensors.
        inputs = [tensor.detach().clone().requires_grad_() for tensor in tensors]
        value = function(inputs)
        gradients = torch.autograd.grad(value, inputs)
    return value.detach(), gradients


def _jax(function: Function, tensors: list[Any]) -> tuple[Any, Any]:
    import jax

    return jax.jit(jax.value_and_grad(function))(tensors)


def _tensorflow(function: Function, tensors: list[Any]) -> tuple[Any, Any]:
    import tensorflow as tf

    @tf.function
    def compute(inputs: list[Any]) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            value = function(inputs)
        return value, tape.gradient(value, inputs)

    return compute([tf.convert_to_tensor(tensor) for tensor in tensors])


_BY_BACKEND = {"torch": _torch, "jax": _jax, "tensorflow": _tensorflow}
