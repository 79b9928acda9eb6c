"""The largest batch that fits, and what is said where memory does not suffice."""

import keras
import numpy as np
import pytest
from small_models import tiny_resnet

import kerastl
from kerastl.errors import OutOfMemoryError
from kerastl.model import cached_model

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(12) % 3


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    made = kerastl.ImageClassifier(tiny_resnet(), 3, weights=None, image_size=32, dropout=0.5)
    made.compile("adam", learning_rate=1e-3)
    return made


def state_of(model):
    tensors = [*model.variables, *model.optimizer.variables]
    return [np.array(keras.ops.convert_to_numpy(tensor.value)) for tensor in tensors]


@pytest.mark.slow
def test_a_trial_finds_what_fits_and_leaves_no_trace(model, monkeypatch):
    model.fit(IMAGES, LABELS, verbose=0)
    before = state_of(model)

    def fails_above(x, y):
        if len(x) > 4:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 bytes")
        train_on_batch(x, y)

    train_on_batch = model.train_on_batch
    monkeypatch.setattr(model, "train_on_batch", fails_above)
    found = kerastl.largest_batch_size(model, IMAGES, LABELS, most=8)
    assert (found.size, found.accumulate) == (4, 2)
    assert found.step.of(4) < found.step.limit
    for value, expected in zip(state_of(model), before, strict=True):
        np.testing.assert_array_equal(value, expected)
    model.fit(IMAGES, LABELS, verbose=0)


@pytest.mark.slow
def test_an_error_of_memory_is_told(model, monkeypatch):
    def fails(*args, **kwargs):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 bytes")

    monkeypatch.setattr(cached_model.caching, "cached_fit", fails)
    told = r"train on batches of 8 images of 32 x 32 pixels in float32; batches of 4 images would"
    with pytest.raises(OutOfMemoryError, match=told):
        model.fit(IMAGES, LABELS, batch_size=8)
