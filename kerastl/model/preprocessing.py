"""Scale raw pixels to the backbone's input range, as a layer of the model."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import keras
import numpy as np

from kerastl.backbones.base import Preprocessing, preprocessing_from
from kerastl.internals.precision import at_least_float32


@keras.saving.register_keras_serializable(package="kerastl")
class ImagePreprocessing(keras.layers.Layer):
    """`(pixels * scale - mean) / std`, per channel, in float32 or, under that policy, float64.

    Takes and gives `(batch, height, width, 3)`; pixels are 0-255 in RGB order.
    """

    def __init__(self, preprocessing: Preprocessing, **kwargs: Any) -> None:
        # Never in half precision, whatever the policy of the other layers.
        variables = keras.config.dtype_policy().variable_dtype
        kwargs.setdefault("dtype", at_least_float32(variables))
        super().__init__(**kwargs)
        self.preprocessing = preprocessing
        std = np.array(preprocessing.std, "float64")
        self._factor = (preprocessing.scale / std).astype(self.compute_dtype)
        self._offset = (np.array(preprocessing.mean, "float64") / std).astype(self.compute_dtype)

    def call(self, images: Any) -> Any:
        pixels = keras.ops.cast(images, self.compute_dtype)
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
