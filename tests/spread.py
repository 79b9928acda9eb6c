"""A random network whose probabilities differ from image to image, as a trained one's do."""

import keras
import numpy as np
from torch import nn

import kerastl

SIZE = 32
CLASSES = ("daisy", "rose", "tulip")
# A torch module, a Keras network, and the network that is bundled.
BACKBONES = ("torchvision:resnet18", "keras:MobileNet?alpha=0.25", "bundled:efficientnet_lite0")


# Where the network does not matter: quick to trace.
TINY = "module:spread:tiny"


def tiny():
    """A torch network of eight features."""
    convolution = nn.Conv2d(3, 8, 3, stride=2)
    pool = nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(
        convolution, nn.BatchNorm2d(8), nn.ReLU(), pool, nn.Flatten(), nn.Linear(8, 2)
    )


def build(spec=BACKBONES[0]):
    """A classifier of three classes, random but for the scale of its logits."""
    keras.utils.set_random_seed(0)
    model = kerastl.ImageClassifier(spec, 3, weights=None, image_size=SIZE, class_names=CLASSES)
    shape = (32, SIZE, SIZE, 3)
    images = np.random.default_rng(1).integers(0, 256, shape, dtype="uint8")
    head = model.get_layer("head")
    logits = head.logits_of(model.features(images), training=False)
    logits = keras.ops.convert_to_numpy(keras.ops.cast(logits, "float32"))
    mean, deviation = logits.mean(axis=0), logits.std(axis=0)
    kernel = keras.ops.convert_to_numpy(head.logits.kernel)
    head.logits.kernel.assign(kernel / deviation)
    head.logits.bias.assign(-mean / deviation)
    return model
