"""The optimizer's way into files and back, and what is said of files that do not fit."""

import re
from pathlib import Path

import keras
import numpy as np
import plain_keras
import pytest
from plain_keras import classifier, network, numbers
from torch import nn

import kerastl

o = keras.optimizers
X, Y = plain_keras.images(), plain_keras.labels()
DATA = Path(__file__).parents[1] / "data"


@keras.saving.register_keras_serializable(package="tests")
class Registered(o.SGD):
    """A user's own class, which a file can name."""


def fitted(optimizer, rates=None, frozen=()):
    model = classifier()
    if frozen:
        model.freeze(*frozen)
    model.compile(optimizer, learning_rate=rates)
    model.fit(X, Y, batch_size=4, shuffle=False, verbose=0)
    return model


def goes_on(model) -> list[np.ndarray]:
    model.fit(X, Y, batch_size=4, shuffle=False, verbose=0)
    return numbers([*model.weights, *model.optimizer.variables])


LINEAR = o.schedules.PolynomialDecay(0.1, 20)
SAVED = {
    "adam": (lambda: o.Adam(1e-2, amsgrad=True, clipnorm=0.5), None),
    "nadam with all": (
        lambda: o.Nadam(1e-2, use_ema=True, gradient_accumulation_steps=2),
        {"block1": 1e-3, "block2": LINEAR, "head": 1e-2},
    ),
    "a schedule for all": (lambda: o.SGD(LINEAR, momentum=0.9), None),
    "a scale": (
        lambda: o.LossScaleOptimizer(o.Adam(1e-2)),
        {"block1": 1e-3, "block2": 0, "head": 1},
    ),
    "an own class": (lambda: Registered(1e-2, momentum=0.5), None),
}


@pytest.mark.parametrize("name", SAVED)
def test_a_loaded_model_goes_on_as_the_one_that_was_saved(name, tmp_path):
    make, rates = SAVED[name]
    model = fitted(make(), rates, frozen=("block0",))
    if not callable(rates) and rates is not None and name != "nadam with all":
        model.optimizer.learning_rate = 0.5
    model.save(tmp_path / "model.keras")
    loaded = kerastl.load_model(tmp_path / "model.keras", backbone=network())
    assert type(loaded.optimizer).__mro__[2] is type(model.optimizer).__mro__[2]
    assert loaded.learning_rates() == model.learning_rates()
    for one in (model, loaded):
        one.unfreeze("block0", learning_rate=1e-3)
    for new, old in zip(goes_on(loaded), goes_on(model), strict=True):
        np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize("name", ["wave1_adam", "wave1_nadam_accumulation"])
def test_a_file_of_the_first_optimizer_goes_on_as_it_did_then(name):
    network = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
        nn.Sequential(nn.Conv2d(4, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
    )
    model = kerastl.load_model(DATA / f"{name}.keras", backbone=network)
    images = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)
    model.fit(images, np.arange(16) % 4, batch_size=4, shuffle=False, verbose=0, cache=False)
    with np.load(DATA / f"{name}.npz") as expected:
        for index, weight in enumerate(model.get_weights()):
            np.testing.assert_allclose(weight, expected[f"weight{index}"], rtol=1e-5, atol=1e-6)


def uncompiled():
    return classifier()


def with_momentum():
    return fitted(o.SGD(1e-2, momentum=0.9))


def with_fewer_rates():
    return fitted(o.Adam(), {"head": 1e-3}, frozen=("block0", "block1", "block2"))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (uncompiled, "holds no optimizer state: the weights are loaded, the optimizer begins anew"),
        (with_momentum, "holds the state of another optimizer (SGD"),
        (with_fewer_rates, "holds the learning rates of other blocks"),
        (lambda: fitted(o.Adam(amsgrad=True)), "holds the state of another optimizer (Adam"),
    ],
)
def test_weights_of_another_kind_of_file_load_and_what_is_not_taken_is_said(make, says, tmp_path):
    source = make()
    source.save_weights(tmp_path / "some.weights.h5")
    model = fitted(o.Adam(), 1e-2)
    with pytest.warns(UserWarning, match=re.escape(says)):
        model.load_weights(tmp_path / "some.weights.h5")
    for new, old in zip(numbers(model.weights), numbers(source.weights), strict=True):
        np.testing.assert_array_equal(new, old)
    assert model.learning_rates()["head"] == np.float32(1e-2)
    model.fit(X, Y, batch_size=4, verbose=0)


def test_the_rates_of_the_same_blocks_come_with_the_weights_as_in_keras(tmp_path):
    source = fitted(o.Adam(), 1e-2)
    source.save_weights(tmp_path / "some.weights.h5")
    model = classifier()
    model.compile(o.Adam(), learning_rate=0.5)
    model.optimizer.build(model.trainable_variables)
    model.load_weights(tmp_path / "some.weights.h5")  # without a warning
    assert model.learning_rates() == source.learning_rates()
    for new, old in zip(goes_on(model), goes_on(source), strict=True):
        np.testing.assert_array_equal(new, old)


def test_serialized_it_is_the_users_optimizer():
    model = classifier()
    model.compile(o.Adam(1e-3, clipnorm=0.5))
    again = o.deserialize(o.serialize(model.optimizer))
    assert type(again) is type(o.Adam())
    assert again.clipnorm == 0.5
