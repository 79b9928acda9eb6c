"""`jit_compile=True` on torch: the same numbers as without."""

import shutil

import keras
import numpy as np
import pytest
import torch
from torch import nn

import kerastl

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles with a C++ compiler"),
]

IMAGES = np.random.default_rng(0).integers(0, 256, (13, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(13) % 3


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
        nn.Sequential(nn.Conv2d(4, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
    )


# Compiling asks for things that torch itself is leaving behind.
@pytest.mark.filterwarnings("ignore")
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
