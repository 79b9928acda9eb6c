"""`jit_compile=True` on torch: the same numbers as without."""

import shutil

import keras
import numpy as np
import pytest
import torch
from torch import nn

import kerastl

needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="torch compiles with a C++ compiler"
)

IMAGES = np.random.default_rng(0).integers(0, 256, (13, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(13) % 3


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
        nn.Sequential(nn.Conv2d(4, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
    )


@pytest.fixture
def not_compiled(monkeypatch):
    """The functions that would be compiled, as they are."""
    monkeypatch.setattr(torch, "compile", lambda step, **options: step)


def stateful(jit_compile):
    """A model whose training depends on every batch, and on their order."""
    keras.utils.set_random_seed(0)
    model = kerastl.ImageClassifier(network(), 3, weights=None, image_size=32)
    model.compile(keras.optimizers.SGD(momentum=0.9), learning_rate=1e-2, jit_compile=jit_compile)
    return model


BATCHES = [(torch.tensor(IMAGES[i : i + 4]), torch.tensor(LABELS[i : i + 4])) for i in (0, 4, 8)]


def test_one_execution_trains_on_each_of_its_batches(not_compiled):
    """Keras gives a list of `steps_per_execution` batches; it is one batch up to Keras 3.15."""
    expected, model = stateful(False), stateful(True)
    for each in (expected, model):
        each.make_train_function()
    for batch in BATCHES:
        logs = expected.train_function([batch])
    found = model.train_function(BATCHES)
    assert int(model.optimizer.iterations) == 3
    assert float(found["loss"]) == pytest.approx(float(logs["loss"]), rel=1e-5)
    for value, wanted in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1e-6)


def test_one_execution_evaluates_and_predicts_each_of_its_batches(not_compiled):
    model = stateful(True)
    expected = model.predict(IMAGES[:12], batch_size=4, verbose=0)
    loss = model.evaluate(IMAGES[:12], LABELS[:12], batch_size=4, verbose=0)[0]
    model.make_predict_function(force=True)
    found = model.predict_function(BATCHES)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), expected, rtol=1e-6)
    model.reset_metrics()
    model.make_test_function(force=True)
    assert float(model.test_function(BATCHES)["loss"]) == pytest.approx(loss, rel=1e-6)


# Compiling asks for things that torch itself is leaving behind.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize(
    ("frozen", "batch_norm"), [((), "train"), (("block0",), "train"), ((), "frozen")]
)
def test_a_compiled_step_trains_as_one_that_is_not(frozen, batch_norm):
    found = []
    for jit_compile in (False, True):
        torch.compiler.reset()
        keras.utils.set_random_seed(0)
        model = kerastl.ImageClassifier(network(), 3, image_size=32, batch_norm=batch_norm)
        if frozen:
            model.freeze(*frozen)
        model.compile(
            keras.optimizers.SGD(momentum=0.9), learning_rate=1e-2, jit_compile=jit_compile
        )
        assert model.jit_compile is jit_compile
        # The last batch of an epoch is a smaller one.
        held_out = (IMAGES[:5], LABELS[:5])
        history = model.fit(
            IMAGES, LABELS, batch_size=8, epochs=3, validation_data=held_out, verbose=0
        ).history
        predictions = model.predict(IMAGES, batch_size=8, verbose=0)
        found.append((history, predictions, model.evaluate(IMAGES, LABELS, verbose=0)))
        named = model.get_layer("block1").named_variables()
        (mean,) = (named[name] for name in named if name.endswith("running_mean"))
        assert bool((mean.value == 0).all()) == (batch_norm == "frozen")
    (expected, probabilities, scores), (history, predictions, compiled_scores) = found
    for name, values in expected.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-4, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(predictions, probabilities, atol=1e-5)
    np.testing.assert_allclose(compiled_scores, scores, rtol=1e-4)
