"""Grad-CAM: where in an image the network saw a class (Selvaraju et al., 2017)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from kerastl.blocks.block import HEAD
from kerastl.blocks.gradients import value_and_gradients
from kerastl.blocks.running import layers_after, run_layers


def last_feature_map(model: Any) -> str | None:
    """The last layer before the head whose output still has height and width.

    What follows it must give features without a place: the pooling, or a block
    that pools by itself. Where tokens follow, as in a ViT, there is none.

    Args:
        model: An `ImageClassifier`.

    Returns:
        Name of the layer, or None.
    """
    layers = model.layers[1 : [layer.name for layer in model.layers].index(HEAD)]
    shapes = [
        None if isinstance(layer.output, list) else tuple(layer.output.shape[1:])
        for layer in layers
    ]
    for index in reversed(range(len(layers))):
        shape = shapes[index]
        if shape is None or len(shape) == 2:
            return None
        if len(shape) == 3 and shape[0] * shape[1] > 1:
            return str(layers[index].name) if layers[index].name in model.block_names else None
    return None


def class_activation(
    model: Any, images: np.ndarray, classes: Sequence[int], *, layer: str | None = None
) -> np.ndarray:
    """How much each place of a feature map speaks for a class.

    `relu(sum_k(a_k * A_k))`, where `A_k` is channel `k` of the feature map and
    `a_k` the mean over height and width of the gradient of the class's logit
    with respect to it.

    Args:
        model: An `ImageClassifier`.
        images: Pixels 0-255, `(images, height, width, 3)`.
        classes: The class to look for in each image.
        layer: Layer that gives the feature map. None: the last one.

    Returns:
        `(images, map height, map width)` float32, 0 or more.

    Raises:
        ValueError: If the model has no feature map.
    """
    layer = layer or last_feature_map(model)
    if layer is None:
        raise ValueError(
            "`model` must have features with height and width in front of its pooling. Received: "
            f"{model.backbone_spec}, which has none. Grad-CAM cannot be had for it."
        )
    maps, gradients = _maps_and_gradients(model, images, np.asarray(classes), layer)
    weights = gradients.mean(axis=(1, 2), keepdims=True)
    return np.maximum((weights * maps).sum(axis=-1), 0)


def _maps_and_gradients(
    model: Any, images: np.ndarray, classes: np.ndarray, layer: str
) -> tuple[np.ndarray, np.ndarray]:
    """The feature map and the gradient of each image's logit, `(images, h, w, channels)`."""
    before = keras.Model(model.inputs[0], model.get_layer(layer).output)
    maps = keras.ops.convert_to_tensor(before.predict_on_batch(images))
    _, (gradients,) = value_and_gradients(_sum_of_logits(model, classes, layer), [maps])
    return _as_array(maps), gradients.astype("float32")


def _sum_of_logits(model: Any, classes: np.ndarray, layer: str) -> Callable[[list[Any]], Any]:
    """A function of the feature map: the logit of each image's class, summed over images.

    Images do not mix in inference mode, so its gradient is that of each
    image's own logit.
    """
    *layers, head = layers_after(model, layer)
    if model.num_classes == 1:
        # One logit speaks for class 1 and against class 0.
        signs = np.where(classes == 1, 1.0, -1.0)[:, None].astype("float32")
    else:
        signs = np.eye(model.num_classes, dtype="float32")[classes]

    def total(maps: list[Any]) -> Any:
        pooled = run_layers(model, layers, maps[0], training=False)
        return keras.ops.sum(head.logits_of(pooled, training=False) * signs_tensor)

    signs_tensor = keras.ops.convert_to_tensor(signs)
    return total


def _as_array(tensor: Any) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32")))
