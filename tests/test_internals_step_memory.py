"""What a step takes of the memory: counted tensors, and what an error leaves behind."""

import gc
import weakref

import keras
import numpy as np
import pytest
import torch

from kerastl.internals import step_memory


@pytest.fixture
def weight():
    return keras.Variable(np.zeros(1, "float32"))


def test_the_peak_is_what_is_held_at_one_time(weight):
    with step_memory.peak_of(weight) as peak:
        first = torch.zeros(1000)
        second = first + 1
        del first
        third = second * 2
        del second
    assert (peak.bytes, peak.kept) == (8000, 4000)
    assert third.sum() == 2000


def test_views_and_changes_in_place_take_nothing(weight):
    before = torch.ones(1000)
    with step_memory.peak_of(weight) as peak:
        before.view(10, 100).t().add_(1)
        before.mul_(2)
    assert peak.bytes == 0


def test_what_autograd_keeps_and_gradients_count(weight):
    layer = torch.nn.Linear(10, 20, bias=False)
    with step_memory.peak_of(weight) as peak:
        outputs = torch.sigmoid(layer(torch.ones(50, 10)))
        kept = 4 * (50 * 10 + 50 * 20)  # the input, the output; what sigmoid was given is freed
        assert peak.bytes == kept + 4 * 50 * 20
        outputs.sum().backward()
        del outputs
    assert peak.kept == 4 * 20 * 10
    assert peak.bytes > kept


def test_another_backends_step_is_seen_from_without(weight, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    monkeypatch.setattr(step_memory, "_has_tensorflow_gpu", lambda: False)
    with step_memory.peak_of(weight) as peak:
        held = np.ones(8_000_000)
        held += 1
    assert peak.bytes > 60_000_000
    assert peak.kept == 0


def test_release_frees_what_an_error_within_keras_holds():
    class Fails(keras.layers.Layer):
        def call(self, inputs):
            made.append(weakref.ref(inputs))
            raise RuntimeError("out of memory")

    made = []
    model = keras.Sequential([keras.layers.Dense(1000), Fails()])
    # A graph is built without running `call`.
    monkey = keras.KerasTensor((None, 1000))
    model.layers[1].compute_output_spec = lambda inputs: monkey
    model.compile("sgd", "mse")
    gc.disable()
    try:
        model.train_on_batch(np.zeros((8, 10)), np.zeros((8, 1000)))
    except RuntimeError as error:
        assert made[-1]() is not None
        step_memory.release(error)
        assert made[-1]() is None
    finally:
        gc.enable()
    assert made
