"""Raw pixels to what the backbone was trained on, as a layer of the model."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import keras
import numpy as np

from kerastl.backbones.base import Preprocessing, preprocessing_from


@keras.saving.register_keras_serializable(package="kerastl")
class ImagePreprocessing(keras.layers.Layer):
    """`(pixels * scale - mean) / std`, per channel, always in float32.

    Takes and gives `(batch, height, width, 3)`; pixels are 0-255 in RGB order.
    """

    def __init__(self, preprocessing: Preprocessing, **kwargs: Any) -> None:
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.preprocessing = preprocessing
        std = np.array(preprocessing.std, "float64")
        self._factor = (preprocessing.scale / std).astype("float32")
        self._offset = (np.array(preprocessing.mean, "float64") / std).astype("float32")

    def call(self, images: Any) -> Any:
        pixels = keras.ops.cast(images, "float32")
        if self.preprocessing.channel_order == "bgr":
            pixels = keras.ops.flip(pixels, axis=-1)
        return keras.ops.subtract(keras.ops.multiply(pixels, self._factor), self._offset)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "preprocessing": asdict(self.preprocessing)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ImagePreprocessing:
        return cls(preprocessing_from(config.pop("preprocessing")), **config)
