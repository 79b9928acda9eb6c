"""The loss of one batch and its gradients; the model stays as it was."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from kerastl.blocks.gradients import value_and_gradients


def loss_and_gradients(model: Any, images: Any, labels: Any) -> tuple[float, list[np.ndarray]]:
    """One forward and backward pass in training mode; the model stays as it was.

    Args:
        model: A compiled classifier.
        images: Pixels 0-255, `(batch, height, width, 3)`.
        labels: Class of each image, `(batch,)`.

    Returns:
        The loss, and the gradient of each of `model.trainable_variables`.
    """
    pixels = keras.ops.convert_to_tensor(np.asarray(images))
    truth = keras.ops.convert_to_tensor(np.asarray(labels))
    # Copies: torch writes moving statistics into the tensors that it is given.
    fixed = [keras.ops.copy(variable.value) for variable in model.non_trainable_variables]

    def loss_of(values: list[Any]) -> Any:
        predictions, _ = model.stateless_call(values, fixed, pixels, training=True)
        return model.compute_loss(pixels, truth, predictions)

    return value_and_gradients(loss_of, [v.value for v in model.trainable_variables])
