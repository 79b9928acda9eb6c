"""The frozen prefix as a function against the layers that it stands for."""

import keras
import numpy as np
import pytest
import torch

import kerastl
from kerastl.blocks.running import layers_before, run_layers
from kerastl.prefix.boundary import boundary_of
from kerastl.prefix.functions import prefix_function

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), dtype=np.uint8)
SPECS = {
    "torchvision:resnet18": ("stem", "layer3", "layer4"),
    "torchvision:mobilenet_v3_small": ("block2",),
    "bundled:efficientnet_lite0": ("stage2", None),
    "keras:MobileNet?alpha=0.25": ("stage2",),
}
CASES = [(spec, through) for spec, blocks in SPECS.items() for through in blocks]


def frozen_classifier(spec, through, policy):
    keras.utils.set_random_seed(0)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = kerastl.ImageClassifier(spec, 3, weights=None, image_size=64)
    finally:
        keras.config.set_dtype_policy(before)
    # Statistics that fit the images, and are not those of the start.
    model.compile(keras.optimizers.SGD(0.0), metrics=[])
    model.fit(IMAGES, np.arange(6) % 3, epochs=3, verbose=0)
    if through is None:
        model.freeze()
    else:
        model.freeze(through=through if through in model.block_names else model.block_names[2])
    return model


@pytest.mark.parametrize(("policy", "tolerance"), [("float32", 1e-5), ("mixed_bfloat16", 3e-2)])
@pytest.mark.parametrize(("spec", "through"), CASES)
def test_the_prefix_gives_what_the_layers_give(spec, through, policy, tolerance):
    model = frozen_classifier(spec, through, policy)
    boundary = boundary_of(model)
    layers = layers_before(model, boundary.layer)
    images = keras.ops.convert_to_tensor(IMAGES)
    [found] = prefix_function(model, boundary)(images)
    with torch.no_grad():
        expected = run_layers(model, layers, images, training=False)
    assert found.dtype == expected.dtype
    assert keras.backend.standardize_dtype(found.dtype) == boundary.dtype
    assert found.shape == expected.shape
    found, expected = found.float(), expected.float()
    assert expected.abs().max() > 1e-3
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()
