"""Whole networks against torch's own: logits, one step's gradients and statistics."""

import numpy as np
import pytest
import reference
import torch
from small_models import TORCHVISION_FAMILIES, TORCHVISION_SIZE, TORCHVISION_SIZES

from kerastl import list_backbones

FAMILIES = [*(f"torchvision:{name}" for name in TORCHVISION_FAMILIES), "bundled:efficientnet_lite0"]
# Compiling a backward pass takes most of a test's time: the others are slow tests.
QUICK = {"torchvision:resnet18", "torchvision:vit_b_32", "torchvision:shufflenet_v2_x0_5"}


def image_size(spec):
    return TORCHVISION_SIZES.get(spec.partition(":")[2], TORCHVISION_SIZE)


def check_logits(spec):
    size = image_size(spec)
    model, original = reference.build(spec, image_size=size)
    images, _ = reference.pixels(2, size)
    with torch.no_grad():
        expected = original.eval()(reference.scaled(model, images)).numpy()
    off = reference.relative(reference.logits_of(model, images), expected)
    print(f"{spec:<40} {off:.1e}")
    assert off < 1e-4


@pytest.mark.parametrize("spec", FAMILIES)
def test_logits_are_those_of_the_original(spec):
    check_logits(spec)


@pytest.mark.slow
@pytest.mark.parametrize(
    "spec", [name for name in list_backbones("torchvision") if name not in FAMILIES]
)
def test_logits_of_every_other_model_are_those_of_the_original(spec):
    check_logits(spec)


@pytest.mark.parametrize(
    "spec",
    [spec if spec in QUICK else pytest.param(spec, marks=pytest.mark.slow) for spec in FAMILIES],
)
def test_a_training_step_has_torchs_loss_gradients_and_statistics(spec):
    size = max(image_size(spec), 64)
    model, original = reference.build(spec, image_size=size)
    images, labels = reference.pixels(8, size)
    pairs = reference.variables_and_tensors(model, original)
    before = [reference.as_numpy(variable) for _, variable, _ in pairs]
    # At a rate of 1, plain SGD takes the gradient itself off the weights.
    model.compile("sgd", learning_rate=1.0, metrics=[])
    history = model.fit(images, labels, batch_size=8, epochs=1, verbose=0, shuffle=False)
    loss = torch.nn.functional.cross_entropy(
        original.train()(reference.scaled(model, images)), torch.from_numpy(labels)
    )
    loss.backward()
    assert history.history["loss"][0] == pytest.approx(loss.item(), rel=1e-3)
    gradients = [tensor.grad for _, _, tensor in pairs if tensor.grad is not None]
    longest = max(float(gradient.norm()) for gradient in gradients)
    for (name, variable, tensor), old in zip(pairs, before, strict=True):
        new = reference.as_numpy(variable)
        if isinstance(tensor, torch.nn.Parameter):
            if tensor.grad is None:
                continue
            expected = tensor.grad.numpy()
            # A bias in front of batch norm has no gradient but rounding; weights are kept to 1e-7.
            floor = max(np.linalg.norm(expected), 1e-3 * longest, 1e-4 * np.linalg.norm(old))
            assert np.linalg.norm(old - new - expected) / floor < 1e-3, name
        else:
            assert reference.relative(new, tensor.numpy(), floor=1e-3) < 1e-3, name
