"""Losses, tasks and the range test on this backend, against NumPy and scikit-learn."""

import keras
import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from sklearn.metrics import log_loss, mean_squared_error

import kerastl
from kerastl.model import losses
from kerastl.optimizers.rate_finder import find_learning_rate

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
SPEC = "keras:MobileNet?alpha=0.25"


def classifier(task, outputs=3):
    torch.manual_seed(0)
    keras.utils.set_random_seed(0)
    return kerastl.ImageClassifier(SPEC, outputs, weights=None, image_size=32, task=task)


@pytest.mark.parametrize("task", ["multi-label", "regression"])
def test_the_first_loss_of_a_task_is_scikit_learns(task):
    model = classifier(task)
    labels = (RNG.random((8, 3)) < 0.5).astype("float32")
    model.freeze()
    before = model.predict(IMAGES, verbose=0)
    model.compile("sgd", learning_rate=0.01)
    history = model.fit(IMAGES, labels, batch_size=8, epochs=2, verbose=0).history
    if task == "regression":
        expected = mean_squared_error(labels, before)
    else:
        expected = np.mean([log_loss(labels[:, k], before[:, k], labels=[0, 1]) for k in range(3)])
    assert history["loss"][0] == pytest.approx(expected, rel=1e-4)
    assert history["loss"][1] < history["loss"][0]


def test_soft_and_smoothed_labels_give_the_cross_entropy():
    model = classifier("classification")
    model.freeze()
    shares = RNG.dirichlet(np.ones(3), 8).astype("float32")
    before = model.predict(IMAGES, verbose=0)
    model.compile("sgd", losses.Crossentropy(0.1), metrics=[losses.Accuracy()], learning_rate=0.1)
    history = model.fit(IMAGES, shares, batch_size=8, verbose=0).history
    targets = 0.9 * shares + 0.1 / 3
    expected = -(targets * log_softmax(np.log(before), axis=1)).sum(axis=1).mean()
    assert history["loss"][0] == pytest.approx(expected, rel=1e-4)
    right = (before.argmax(axis=1) == shares.argmax(axis=1)).mean()
    assert history["accuracy"][0] == pytest.approx(right)


def test_the_range_test_leaves_weights_and_optimizer_bit_identical():
    model = classifier("classification")
    model.freeze(through="stage4")
    labels = np.arange(8) % 3
    model.compile("adam", learning_rate=1e-3)
    model.fit(IMAGES, labels, verbose=0)
    variables = [*model.variables, *model.optimizer.variables]
    before = [np.array(keras.ops.convert_to_numpy(variable.value)) for variable in variables]
    found = find_learning_rate(model, IMAGES, labels, steps=6, lowest=1e-4)
    assert len(found.losses) >= 5
    for variable, value in zip(variables, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable.value), value)
    model.fit(IMAGES, labels, verbose=0)
