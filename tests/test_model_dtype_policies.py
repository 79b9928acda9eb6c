"""A saved model comes back under the dtype policy that it was built under."""

import warnings

import keras
import numpy as np
import pytest
from small_models import tiny_resnet

import kerastl
from kerastl.model.description import rebuilt

SIZE = 32
IMAGES = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3), dtype=np.uint8)
POLICIES = ("mixed_float16", "mixed_bfloat16", "bfloat16", "float64", "float32")


@pytest.fixture(autouse=True)
def same_policy_afterwards():
    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("frozen", [(), ("stem", "layer1"), None])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_model_comes_back_under_its_policy(tmp_path, policy, frozen):
    keras.config.set_dtype_policy(policy)
    model = kerastl.ImageClassifier(tiny_resnet(), 2, image_size=SIZE)
    if frozen is None:
        model.freeze()
    elif frozen:
        model.freeze(*frozen)
    model.compile("adam")
    model.fit(IMAGES, np.arange(4) % 2, verbose=0)
    model.save(tmp_path / "model.keras")
    expected = model.predict(IMAGES, verbose=0)
    for present in ("float32", "mixed_bfloat16"):
        keras.config.set_dtype_policy(present)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", message="__array__ implementation")
            again = kerastl.load_model(tmp_path / "model.keras", backbone=tiny_resnet())
        assert keras.config.dtype_policy().name == present
        assert {again.get_layer(name).dtype_policy.name for name in again.block_names} == {policy}
        assert type(again.optimizer).__name__ == type(model.optimizer).__name__
        assert len(again.optimizer.variables) == len(model.optimizer.variables)
        np.testing.assert_array_equal(again.predict(IMAGES, verbose=0), expected)
        again.fit(IMAGES, np.arange(4) % 2, verbose=0)


def test_a_copy_is_under_the_present_policy():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = kerastl.ImageClassifier(tiny_resnet(), 2, image_size=SIZE)
    keras.config.set_dtype_policy("float32")
    copy = rebuilt(model)
    assert {copy.get_layer(name).dtype_policy.name for name in copy.block_names} == {"float32"}


def test_an_older_file_takes_the_present_policy():
    config = kerastl.ImageClassifier(tiny_resnet(), 2, image_size=SIZE).get_config()
    del config["dtype_policy"]
    keras.config.set_dtype_policy("mixed_bfloat16")
    # The configuration knows its model, so that no module is needed.
    kept = kerastl.ImageClassifier(tiny_resnet(), 2, image_size=SIZE)
    config["backbone"] = kept.get_config()["backbone"]
    made = kerastl.ImageClassifier.from_config(config)
    assert made.get_layer("stem").dtype_policy.name == "mixed_bfloat16"
