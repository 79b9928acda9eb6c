"""The loss of one batch and its gradients, on whichever backend Keras runs."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


def loss_and_gradients(model: Any, images: Any, labels: Any) -> tuple[float, list[np.ndarray]]:
    """One forward and backward pass in training mode; the model stays as it was.

    Args:
        model: A compiled classifier.
        images: Pixels 0-255, `(batch, height, width, 3)`.
        labels: Class of each image, `(batch,)`.

    Returns:
        The loss, and the gradient of each of `model.trainable_variables`.
    """
    kept = [
        keras.ops.convert_to_numpy(variable.value).copy()
        for variable in model.non_trainable_variables
    ]
    images = keras.ops.convert_to_tensor(np.asarray(images))
    labels = keras.ops.convert_to_tensor(np.asarray(labels))
    by_backend = {"torch": _torch, "jax": _jax, "tensorflow": _tensorflow}
    loss, gradients = by_backend[keras.backend.backend()](model, images, labels)
    for variable, value in zip(model.non_trainable_variables, kept, strict=True):
        variable.assign(value)
    return float(keras.ops.convert_to_numpy(loss)), [
        keras.ops.convert_to_numpy(gradient) for gradient in gradients
    ]


def _torch(model: Any, images: Any, labels: Any) -> tuple[Any, Any]:
    import torch

    loss = model.compute_loss(images, labels, model(images, training=True))
    values = [variable.value for variable in model.trainable_variables]
    return loss.detach(), torch.autograd.grad(loss, values)


def _jax(model: Any, images: Any, labels: Any) -> tuple[Any, Any]:
    import jax

    fixed = [variable.value for variable in model.non_trainable_variables]

    def loss_of(values: Any) -> Any:
        predictions, _ = model.stateless_call(values, fixed, images, training=True)
        return model.compute_loss(images, labels, predictions)

    values = [variable.value for variable in model.trainable_variables]
    return jax.jit(jax.value_and_grad(loss_of))(values)


def _tensorflow(model: Any, images: Any, labels: Any) -> tuple[Any, Any]:
    import tensorflow as tf

    @tf.function
    def compute() -> Any:
        with tf.GradientTape() as tape:
            loss = model.compute_loss(images, labels, model(images, training=True))
        return loss, tape.gradient(loss, [v.value for v in model.trainable_variables])

    return compute()
