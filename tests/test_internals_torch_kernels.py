"""Layers that call torch's kernels against Keras's own: outputs, gradients, statistics."""

import keras
import numpy as np
import pytest
import torch
from keras import layers

import kerastl
from kerastl.internals import torch_kernels
from kerastl.internals.torch_kernels import use_torch_kernels

RNG = np.random.default_rng(0)
MAKERS = {
    "conv": lambda **k: layers.Conv2D(6, 3, **k),
    "conv_same": lambda **k: layers.Conv2D(6, 3, padding="same", activation="relu", **k),
    "conv_same_stride": lambda **k: layers.Conv2D(6, (3, 5), 2, padding="same", **k),
    "conv_dilated": lambda **k: layers.Conv2D(6, 3, padding="same", dilation_rate=2, **k),
    "conv_grouped": lambda **k: layers.Conv2D(8, 3, groups=2, use_bias=False, **k),
    "depthwise": lambda **k: layers.DepthwiseConv2D(3, 2, padding="same", **k),
    "depthwise_twice": lambda **k: layers.DepthwiseConv2D(3, depth_multiplier=2, **k),
    "batch_norm": lambda **k: layers.BatchNormalization(momentum=0.9, **k),
    "batch_norm_bare": lambda **k: layers.BatchNormalization(center=False, scale=False, **k),
    "max_pool": lambda **k: layers.MaxPooling2D(3, 2, **k),
    "max_pool_same": lambda **k: layers.MaxPooling2D(3, 2, padding="same", **k),
    "average_pool": lambda **k: layers.AveragePooling2D(2, **k),
}


def pair(make, dtype="float64", size=9):
    """The layer in a network of its own, as Keras has it and with torch's kernels."""
    made = []
    for _ in range(2):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((size, size, 4), dtype=keras.DTypePolicy(dtype).variable_dtype)
        network = keras.Model(inputs, make(dtype=dtype)(inputs))
        for variable in network.weights:
            variable.assign(RNG.uniform(0.5, 1.5, variable.shape) if made else variable)
        made.append(network)
    made[1].set_weights([np.asarray(v) + 0.1 for v in made[0].get_weights()])
    made[0].set_weights(made[1].get_weights())
    use_torch_kernels(made[1])
    return made


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", MAKERS)
def test_a_layer_gives_keras_numbers(name, training):
    plain, faster = pair(MAKERS[name])
    images = torch.from_numpy(RNG.normal(size=(5, 9, 9, 4)))
    results = []
    for network in (plain, faster):
        x = images.clone().requires_grad_()
        output = network(x, training=training)
        weights = torch.linspace(-1, 1, output.numel(), dtype=torch.float64).reshape(output.shape)
        (output * weights).sum().backward()
        gradients = [v.value.grad for v in network.trainable_variables]
        results.append([output, x.grad, *gradients, *(v.value for v in network.weights)])
    for found, expected in zip(results[1], results[0], strict=True):
        # Keras computes batch norm in float32, float64 tensors too.
        tolerance = 1e-5 if "batch_norm" in name else 1e-9
        torch.testing.assert_close(
            found, expected, rtol=tolerance, atol=tolerance, check_dtype=False
        )


def test_every_kind_of_layer_is_another_class_with_keras_name():
    _, faster = pair(MAKERS["batch_norm"])
    layer = faster.layers[-1]
    assert type(layer) is torch_kernels.BatchNormalization
    # A saved file names a layer's variables after its class.
    assert type(layer).__name__ == "BatchNormalization"


def test_one_value_per_channel_trains_as_in_keras():
    plain, faster = pair(MAKERS["batch_norm"], size=1)
    image = torch.from_numpy(RNG.normal(size=(1, 1, 1, 4)))
    torch.testing.assert_close(faster(image, training=True), plain(image, training=True))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_the_policys_types(policy):
    _, faster = pair(MAKERS["batch_norm"], dtype=policy)
    output = faster(torch.randn(5, 9, 9, 4), training=True)
    assert keras.backend.standardize_dtype(output.dtype) == policy.removeprefix("mixed_")
    assert keras.backend.standardize_dtype(faster.layers[-1].moving_mean.dtype) == "float32"


@pytest.mark.parametrize("name", ["MobileNet?alpha=0.25", "ResNet50"])
def test_a_backbone_uses_them_and_gives_keras_features(name):
    keras.utils.set_random_seed(0)
    model = kerastl.ImageClassifier(f"keras:{name}", 3, weights=None, image_size=32)
    kinds = {
        type(each) for block in model.blocks[:-1] for each in block.layers[0]._flatten_layers()
    }
    assert torch_kernels.BatchNormalization in kinds
    assert keras.layers.BatchNormalization not in kinds
    arguments = {"alpha": 0.25} if "alpha" in name else {}
    function = getattr(keras.applications, name.partition("?")[0])
    plain = function(
        include_top=False, weights=None, input_shape=(32, 32, 3), pooling="avg", **arguments
    )
    ours = [v for block in model.blocks[:-1] for v in block.layers[0].weights]
    by_name = {
        variable.path.rpartition("/")[0].split("/")[-1] + variable.name: variable
        for variable in ours
    }
    for variable in plain.weights:
        variable.assign(by_name[variable.path.split("/")[-2] + variable.name].value)
    images = RNG.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    scaled = model.get_layer("preprocessing")(images)
    torch.testing.assert_close(model.features(images), plain(scaled), rtol=1e-4, atol=1e-5)
