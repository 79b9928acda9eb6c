"""Grad-CAM against torch's own autograd on the original model, and against what it must be."""

import keras
import numpy as np
import pytest
import torch
import torchvision

import kerastl
from kerastl.runs.report import grad_cam

CLASSES = [2, 0, 1]


@pytest.fixture(autouse=True)
def same_head_every_time():
    """A random head may find no place at all for a class."""
    keras.utils.set_random_seed(0)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)


def original(model, pixels):
    """The images as the network takes them, and torchvision's ResNet-18 with the weights."""
    network = torchvision.models.resnet18(num_classes=3)
    state = {}
    for name in model.block_names[:-1]:
        layer = model.get_layer(name)
        values = layer.named_variables()
        state |= {key: torch.tensor(np.array(value)) for key, value in values.items()}
    logits = model.get_layer("head").logits
    state["fc.weight"] = torch.tensor(np.array(logits.kernel)).T
    state["fc.bias"] = torch.tensor(np.array(logits.bias))
    network.load_state_dict(state)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    images = (torch.from_numpy(pixels).float() / 255 - mean) / std
    return images.permute(0, 3, 1, 2), network.eval()


def test_it_is_what_hooks_on_torchvisions_own_resnet_give(pixels):
    model = kerastl.ImageClassifier("torchvision:resnet18", 3, weights=None, image_size=64)
    images, network = original(model, pixels)
    kept = []
    network.layer4.register_forward_hook(lambda module, inputs, output: kept.append(output))
    logits = network(images)
    (gradient,) = torch.autograd.grad(logits[range(3), CLASSES].sum(), kept[0])
    weights = gradient.mean((2, 3), keepdim=True)
    expected = torch.relu((weights * kept[0]).sum(1)).detach().numpy()
    assert grad_cam.last_feature_map(model) == "layer4"
    found = grad_cam.class_activation(model, pixels, CLASSES)
    assert expected.max() > 0
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * expected.max())


@pytest.mark.parametrize(
    ("spec", "size"), [("bundled:efficientnet_lite0", 64), ("keras:MobileNet?alpha=0.25", 64)]
)
def test_with_one_dense_layer_it_is_the_class_activation_map(spec, size, pixels):
    """Zhou et al., 2016: the features weighted by the class's row of the Dense layer."""
    model = kerastl.ImageClassifier(spec, 3, weights=None, image_size=size)
    name = grad_cam.last_feature_map(model)
    maps = np.array(
        keras.Model(model.inputs, model.get_layer(name).output).predict(pixels, verbose=0)
    )
    kernel = np.array(model.get_layer("head").logits.kernel)[:, CLASSES].T
    places = maps.shape[1] * maps.shape[2]
    expected = np.maximum((maps * kernel[:, None, None] / places).sum(axis=-1), 0)
    found = grad_cam.class_activation(model, pixels, CLASSES)
    assert expected.max() > 0
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * expected.max())


def test_it_goes_through_the_hidden_layers_of_the_head(pixels):
    model = kerastl.ImageClassifier(
        "torchvision:squeezenet1_1", 3, weights=None, image_size=64, hidden_units=(8, 5)
    )
    name = grad_cam.last_feature_map(model)
    trunk = keras.Model(model.inputs, model.get_layer(name).output)
    maps = torch.tensor(np.array(trunk.predict(pixels, verbose=0)), requires_grad=True)
    head = model.get_layer("head")
    values = maps.mean((1, 2))
    for layer in (*head.hidden, head.logits):
        values = values @ torch.tensor(np.array(layer.kernel)) + torch.tensor(np.array(layer.bias))
        if layer is not head.logits:
            values = values.relu()
    values[range(3), CLASSES].sum().backward()
    weights = maps.grad.mean((1, 2), keepdim=True)
    expected = torch.relu((weights * maps).sum(-1)).detach().numpy()
    found = grad_cam.class_activation(model, pixels, CLASSES)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-8)


def test_one_logit_speaks_for_class_one_and_against_class_zero(pixels):
    model = kerastl.ImageClassifier("torchvision:squeezenet1_1", 1, weights=None, image_size=64)
    name = grad_cam.last_feature_map(model)
    trunk = keras.Model(model.inputs, model.get_layer(name).output)
    maps = np.array(trunk.predict(pixels, verbose=0))
    kernel = np.random.default_rng(0).normal(size=maps.shape[3]).astype("float32")
    kernel -= kernel @ maps.mean(axis=(0, 1, 2)) / maps.mean(axis=(0, 1, 2)).sum()
    model.get_layer("head").logits.kernel.assign(kernel[:, None])
    speaks = maps @ kernel / (maps.shape[1] * maps.shape[2])
    assert (speaks > 0).any()
    assert (speaks < 0).any()
    for label, sign in ((1, 1), (0, -1)):
        found = grad_cam.class_activation(model, pixels, [label] * 3)
        np.testing.assert_allclose(found, np.maximum(sign * speaks, 0), rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize(
    ("spec", "size", "layer"),
    [
        ("torchvision:vit_b_32", 64, None),
        ("torchvision:swin_t", 64, "norm"),
        ("torchvision:mobilenet_v3_small", 64, "stage5"),
    ],
)
def test_the_last_feature_map_is_what_is_pooled_next(spec, size, layer, pixels):
    model = kerastl.ImageClassifier(spec, 3, weights=None, image_size=size)
    assert grad_cam.last_feature_map(model) == layer
    if layer is None:
        with pytest.raises(ValueError, match="must have features with height and width"):
            grad_cam.class_activation(model, pixels, CLASSES)
    else:
        assert grad_cam.class_activation(model, pixels, CLASSES).shape[0] == 3


def test_weights_and_gradients_of_the_model_stay_as_they_are(pixels):
    model = kerastl.ImageClassifier("torchvision:squeezenet1_1", 3, weights=None, image_size=64)
    before = [np.array(weight) for weight in model.weights]
    grad_cam.class_activation(model, pixels, CLASSES)
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(np.array(weight), value)
        assert weight.value.grad is None
