"""Backbones in a classifier: one partly frozen training step, and back from the saved file."""

import gc

import keras
import numpy as np
import pytest
from small_models import (
    KERAS_FAMILIES,
    KERAS_SIZE,
    KERAS_SIZES,
    TORCHVISION_FAMILIES,
    TORCHVISION_SIZE,
    TORCHVISION_SIZES,
)

import kerastl
from kerastl.backbones.bundled import list_names
from kerastl.backbones.keras_table import MODELS as KERAS_MODELS
from kerastl.backbones.torchvision_table import FAMILIES as TORCHVISION_MODELS

BUNDLED_MODELS = list_names()
REFUSED_BY_KERAS = "NASNetMobile"


@pytest.fixture(autouse=True)
def free_memory():
    yield
    keras.utils.clear_session()
    gc.collect()


def train_one_step(spec: str, size: int) -> tuple[kerastl.ImageClassifier, np.ndarray]:
    """Train the last block and the head; every other variable must stay as it was."""
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (4, size, size, 3), dtype=np.uint8)
    model = kerastl.ImageClassifier(spec, num_classes=3, weights=None, image_size=size)
    *_, last, head = model.block_names
    model.freeze()
    model.unfreeze(last)
    model.compile(optimizer="sgd", learning_rate=1e-3)
    before = [keras.ops.convert_to_numpy(v.value).copy() for v in model.variables]
    model.fit(images, np.array([0, 1, 2, 0]), batch_size=4, epochs=1, verbose=0)
    frozen = {
        id(variable)
        for block in model.blocks
        if block.name not in (last, head)
        for variable in block.layers[0].variables
    }
    moved = False
    for variable, old in zip(model.variables, before, strict=True):
        same = np.array_equal(keras.ops.convert_to_numpy(variable.value), old)
        assert same or id(variable) not in frozen, variable.path
        moved |= not same
    assert moved
    return model, images


def check(spec: str, size: int, path) -> None:
    model, images = train_one_step(spec, size)
    model.save(path)
    again = kerastl.load_model(path)
    expected = model.predict(images, verbose=0)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(again.predict(images, verbose=0), expected, atol=1e-6)


QUICK = {"resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", "squeezenet1_1"}
QUICK |= {"regnet_y_400mf", "MobileNet", "MobileNetV3Small"}


def families(names):
    """The quick members by default, the others with the slow tests."""
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", families(TORCHVISION_FAMILIES))
def test_torchvision_families_train_one_step_and_open_again(name, tmp_path):
    size = TORCHVISION_SIZES.get(name, TORCHVISION_SIZE)
    check(f"torchvision:{name}", size, tmp_path / "model.keras")


@pytest.mark.parametrize("name", families(KERAS_FAMILIES))
def test_keras_families_train_one_step_and_open_again(name, tmp_path):
    size = KERAS_SIZES.get(name, KERAS_SIZE)
    check(f"keras:{name}", size, tmp_path / "model.keras")


@pytest.mark.parametrize("name", BUNDLED_MODELS)
def test_bundled_models_train_one_step_and_open_again(name, tmp_path):
    check(f"bundled:{name}", 32, tmp_path / "model.keras")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(TORCHVISION_MODELS) - set(TORCHVISION_FAMILIES)))
def test_every_other_torchvision_model_trains_one_step(name):
    train_one_step(f"torchvision:{name}", TORCHVISION_SIZES.get(name, TORCHVISION_SIZE))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", sorted(set(KERAS_MODELS) - set(KERAS_FAMILIES) - {REFUSED_BY_KERAS})
)
def test_every_other_model_of_keras_trains_one_step(name):
    train_one_step(f"keras:{name}", KERAS_SIZES.get(name, KERAS_SIZE))
