"""Grad-CAM against torch's autograd, and the temperature, on the backends that are not torch."""

import keras
import numpy as np
import pytest
import reference
import torch
from scipy.special import softmax

import kerastl
from kerastl.runs.report import grad_cam

pytestmark = pytest.mark.slow

CLASSES = [2, 0, 1, 3]


@pytest.fixture(autouse=True)
def same_head_every_time():
    """A random head may find no place at all for a class."""
    keras.utils.set_random_seed(0)


def test_grad_cam_is_what_torch_gives():
    model, original = reference.build("torchvision:resnet18", image_size=64)
    pixels, _ = reference.pixels(4, 64)
    features = reference.scaled(model, pixels)
    original.eval()
    for part in original.parts:
        features = part(features)
    kept = features.detach().requires_grad_()
    logits = original.head(kept.mean((2, 3)))
    (gradient,) = torch.autograd.grad(logits[range(4), CLASSES].sum(), kept)
    weights = gradient.mean((2, 3), keepdim=True)
    expected = torch.relu((weights * kept).sum(1)).detach().numpy()
    found = grad_cam.class_activation(model, pixels, CLASSES)
    assert expected.max() > 0
    assert reference.relative(found, expected) < 1e-4


def test_grad_cam_goes_through_a_block_that_pools_by_itself_and_hidden_layers():
    model = kerastl.ImageClassifier(
        "torchvision:mobilenet_v3_small", 4, weights=None, image_size=64, hidden_units=(5,)
    )
    pixels, _ = reference.pixels(4, 64)
    found = grad_cam.class_activation(model, pixels, CLASSES)
    assert grad_cam.last_feature_map(model) == "stage5"
    assert found.shape == (4, 2, 2)
    assert np.isfinite(found).all()


def test_grad_cam_of_a_keras_model_with_one_dense_layer_is_the_class_activation_map():
    model = kerastl.ImageClassifier("keras:MobileNet?alpha=0.25", 4, weights=None, image_size=64)
    pixels, _ = reference.pixels(4, 64)
    layer = model.get_layer(grad_cam.last_feature_map(model))
    maps = reference.as_numpy(keras.Model(model.inputs, layer.output).predict(pixels, verbose=0))
    kernel = reference.as_numpy(model.get_layer("head").logits.kernel)[:, CLASSES].T
    places = maps.shape[1] * maps.shape[2]
    expected = np.maximum((maps * kernel[:, None, None] / places).sum(axis=-1), 0)
    found = grad_cam.class_activation(model, pixels, CLASSES)
    assert expected.max() > 0
    assert reference.relative(found, expected) < 1e-4


def test_the_temperature_reaches_functions_that_were_compiled_before():
    model, _ = reference.build("torchvision:squeezenet1_1", image_size=64)
    head = model.get_layer("head")
    head.logits.kernel.assign(5 * reference.as_numpy(head.logits.kernel))
    pixels, labels = reference.pixels(16, 64)
    labels[::3] = 1
    model.compile("sgd", learning_rate=0.01)
    before = model.predict(pixels, verbose=0)
    loss_before = model.evaluate(pixels, labels, verbose=0)[0]
    done = kerastl.calibrate(model, [(pixels, labels)])
    after = model.predict(pixels, verbose=0)
    expected = softmax(np.log(before.astype("float64")) / done.temperature, axis=1)
    assert done.temperature != 1
    assert loss_before == pytest.approx(done.loss_before, rel=1e-4)
    np.testing.assert_allclose(after, expected, atol=1e-4)
    assert model.evaluate(pixels, labels, verbose=0)[0] == pytest.approx(done.loss_after, rel=1e-4)
