"""Keras on torch without kerastl, as the transfer-learning guide of Keras has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

from benchmarks.contestants import TrainingOutcome
from benchmarks.images import IMAGENET_MEAN, IMAGENET_STD, random_images
from benchmarks.jobs import NUM_CLASSES, SEED, TINY, Job

_LAST_OF_STAGE_TWO = {"resnet18": "layer2_1_out", "resnet50": "conv3_block4_out"}


def prepare(job: Job) -> Callable[[], TrainingOutcome]:
    """Build the model; what is returned calls `fit` on the raw pixels."""
    keras.config.set_dtype_policy(job.precision)
    keras.utils.set_random_seed(SEED)
    images, labels = random_images(job)
    model = build_model(job)

    def train() -> TrainingOutcome:
        history = model.fit(
            images, labels, batch_size=job.batch_size, epochs=job.epochs, verbose=0
        ).history
        return TrainingOutcome(history["loss"][-1])

    return train


def build_model(job: Job) -> keras.Model:
    """Rescaling, the base frozen as the strategy says, and a new last layer."""
    base = _base(job)
    _freeze(base, job)
    std = np.array(IMAGENET_STD)
    inputs = keras.Input((job.image_size, job.image_size, 3))
    pixels = layers.Rescaling(1 / (255 * std), -np.array(IMAGENET_MEAN) / std)(inputs)
    features = base(pixels) if base.trainable else base(pixels, training=False)
    model = keras.Model(inputs, layers.Dense(NUM_CLASSES, dtype="float32")(features))
    model.compile(
        keras.optimizers.SGD(learning_rate=1e-3, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def _base(job: Job) -> keras.Model:
    shape = (job.image_size, job.image_size, 3)
    if job.model == TINY:
        return _tiny(shape)
    if job.architecture == "resnet18":
        return _resnet18(shape)
    return keras.applications.ResNet50(
        include_top=False, weights=None, pooling="avg", input_shape=shape
    )


def _freeze(base: keras.Model, job: Job) -> None:
    if job.strategy == "feature-extraction":
        base.trainable = False
    elif job.strategy == "partial":
        names = [layer.name for layer in base.layers]
        end = names.index(_LAST_OF_STAGE_TWO[job.architecture]) + 1
        for layer in base.layers[:end]:
            layer.trainable = False


def _tiny(shape: tuple[int, int, int]) -> keras.Model:
    inputs = keras.Input(shape)
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(inputs)
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(x))


def _resnet18(shape: tuple[int, int, int]) -> keras.Model:
    """ResNet-18 (He et al., 2015), of the shapes that torchvision's has."""
    inputs = keras.Input(shape)
    x = _convolution(inputs, 64, kernel_size=7, strides=2, name="stem")
    x = layers.ReLU(name="stem_relu")(x)
    x = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="stem_pool")(x)
    for stage, filters in enumerate((64, 128, 256, 512), start=1):
        for number in range(2):
            strides = 2 if stage > 1 and number == 0 else 1
            x = _basic_block(x, filters, strides=strides, name=f"layer{stage}_{number}")
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(x), name="resnet18")


def _basic_block(x: Any, filters: int, *, strides: int, name: str) -> Any:
    y = _convolution(x, filters, kernel_size=3, strides=strides, name=f"{name}_1")
    y = layers.ReLU(name=f"{name}_1_relu")(y)
    y = _convolution(y, filters, kernel_size=3, strides=1, name=f"{name}_2")
    if strides > 1:
        x = _convolution(x, filters, kernel_size=1, strides=strides, name=f"{name}_0")
    return layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([x, y]))


def _convolution(x: Any, filters: int, *, kernel_size: int, strides: int, name: str) -> Any:
    """Convolution and batch norm, padded alike on all sides, as torch does it."""
    if kernel_size > 1:
        x = layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x)
    convolution = layers.Conv2D(
        filters, kernel_size, strides=strides, use_bias=False, name=f"{name}_conv"
    )
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(convolution(x))
