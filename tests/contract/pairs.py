"""A small classifier, and the plain `keras.Model` of the same layers with the same weights."""

from __future__ import annotations

import functools

import keras
import numpy as np
import torch
from torch import nn

import kerastl

SIZE = 8
CLASSES = 3
RNG = np.random.default_rng(0)
# 21 = 2 x 8 + 5, and one is left over by batches of 5 and of 4.
X = RNG.integers(0, 256, (21, SIZE, SIZE, 3), dtype=np.uint8)
Y = np.arange(21) % CLASSES
ONE_HOT = np.eye(CLASSES, dtype="float32")[Y]
WEIGHTS = np.linspace(0.5, 2.0, 21, dtype="float32")
HELD_X = RNG.integers(0, 256, (9, SIZE, SIZE, 3), dtype=np.uint8)
HELD_Y = np.arange(9) % CLASSES


def network() -> nn.Module:
    """Two convolutions with batch norm, and a last layer that the head replaces."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU()),
        nn.Sequential(nn.Conv2d(4, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU()),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )


def classifier(*, kind=None, frozen=(), num_classes=CLASSES, **options):
    """An `ImageClassifier`, or a subclass of it, that is the same each time."""
    keras.utils.set_random_seed(0)
    kind = kind or kerastl.ImageClassifier
    blocks = {"stem": "0", "body": "1"}
    model = kind(network(), num_classes, image_size=SIZE, blocks=blocks, **options)
    if frozen:
        model.freeze(*frozen)
    return model


def plain(*, kind=keras.Model, **options):
    """What Keras makes of the same layers, with a class of yours or its own."""
    twin = classifier(**options)
    return kind(twin.inputs[0], twin.outputs[0], name=twin.name)


def compiled(model, **options):
    """A model after `compile`, with a loss that is Keras's own."""
    model.compile(
        **{
            "optimizer": keras.optimizers.SGD(0.01, momentum=0.9),
            "loss": keras.losses.SparseCategoricalCrossentropy(),
            "metrics": ["accuracy"],
            **options,
        }
    )
    return model


@functools.cache
def _built(make, frozen):
    model = make(frozen=frozen)
    return model, model.get_weights()


def fresh(make, *, frozen=(), **compile_options):
    """A compiled model with its first weights; building takes longer than training here."""
    model, weights = _built(make, tuple(frozen))
    model.set_weights(weights)
    for layer in model.layers:
        layer.trainable = layer.name not in frozen
    model.stop_training = False
    model._initial_epoch = None  # Keras 3.15: BackupAndRestore sets it for good
    return compiled(model, **compile_options)


def pair(*, compile_options=dict, **options):
    """The classifier and the plain model, both compiled."""
    return tuple(fresh(make, **options, **compile_options()) for make in (classifier, plain))


def fitted(model, x=X, y=Y, **options):
    """The history of a short `fit`, the rates aside, which plain Keras does not log."""
    keras.utils.set_random_seed(1)
    history = model.fit(x, y, **{"verbose": 0, "epochs": 2, "batch_size": 8, **options}).history
    return {k: v for k, v in history.items() if not k.startswith("learning_rate/")}


def assert_same(found, expected, *, tolerance=1e-5):
    """Two nested structures of numbers are the same but for rounding."""
    if isinstance(expected, dict):
        assert isinstance(found, dict)
        assert list(found) == list(expected)
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other, tolerance=tolerance)
    elif expected is None or isinstance(expected, str | bool | type):
        assert found == expected
    else:
        found, expected = (keras.ops.convert_to_numpy(each) for each in (found, expected))
        assert found.shape == expected.shape
        np.testing.assert_allclose(
            found.astype("float64"), expected.astype("float64"), rtol=tolerance, atol=tolerance
        )


def outcome(call, *arguments):
    """What a call gives, or the kind of its error, for calls that plain Keras refuses."""
    try:
        return call(*arguments)
    except Exception as error:
        return type(error)
