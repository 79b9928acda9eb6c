"""Whole networks against torch's own: logits, one step's gradients and statistics."""

import copy

import numpy as np
import pytest
import reference
import torch
from small_models import TORCHVISION_FAMILIES, TORCHVISION_SIZE, TORCHVISION_SIZES

from kerastl import list_backbones

FAMILIES = [*(f"torchvision:{name}" for name in TORCHVISION_FAMILIES), "bundled:efficientnet_lite0"]
# The others are not settled yet: in float32 rounding flips gates of deep ReLU networks on
# every batch, and the comparison has to be made in float64.
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


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "spec", [name for name in list_backbones("torchvision") if name not in FAMILIES]
)
def test_logits_of_every_other_model_are_those_of_the_original(spec):
    check_logits(spec)


@pytest.mark.parametrize(
    "spec",
    [
        spec if spec in QUICK else pytest.param(spec, marks=pytest.mark.exhaustive)
        for spec in FAMILIES
    ],
)
def test_a_training_step_has_torchs_loss_gradients_and_statistics(spec):
    """On one of four batches: rounding can flip the gate of a ReLU.

    Then a gradient jumps by as much as 1e-2, torch's own in float32 against
    float64 too. A wrong gradient is wrong on every batch.
    """
    size = max(image_size(spec), 64)
    model, original = reference.build(spec, image_size=size)
    # At a rate of 1, plain SGD takes the gradient itself off the weights.
    model.compile("sgd", learning_rate=1.0, metrics=[])
    start = [reference.as_numpy(variable) for variable in model.weights]
    state = copy.deepcopy(original.state_dict())
    found = []
    for seed in range(4):
        for variable, value in zip(model.weights, start, strict=True):
            variable.assign(value)
        original.load_state_dict(state)
        off, name = one_step(model, original, *reference.pixels(8, size, seed=seed))
        found.append((off, name))
        if off < 1e-3:
            return
    pytest.fail(f"largest relative differences: {found}")


def one_step(model, original, images, labels):
    """Train one step in both; the largest relative difference, and what it is of."""
    pairs = reference.variables_and_tensors(model, original)
    before = [reference.as_numpy(variable) for _, variable, _ in pairs]
    history = model.fit(images, labels, batch_size=8, epochs=1, verbose=0, shuffle=False)
    original.zero_grad()
    loss = torch.nn.functional.cross_entropy(
        original.train()(reference.scaled(model, images)), torch.from_numpy(labels)
    )
    loss.backward()
    found = [(abs(history.history["loss"][0] - loss.item()) / loss.item(), "loss")]
    gradients = [tensor.grad for _, _, tensor in pairs if tensor.grad is not None]
    longest = max(float(gradient.norm()) for gradient in gradients)
    for (name, variable, tensor), old in zip(pairs, before, strict=True):
        new = reference.as_numpy(variable)
        if not isinstance(tensor, torch.nn.Parameter):
            off = reference.relative(new, tensor.numpy(), floor=1e-3)
        elif tensor.grad is None:
            off = float(np.abs(new - old).max())
        else:
            expected = tensor.grad.numpy()
            # A bias in front of batch norm has no gradient but rounding, and the
            # difference of two weights is known to 1e-7 of the weights only.
            floor = max(1e-3 * longest, 1e-4 * float(np.linalg.norm(old)))
            length = max(float(np.linalg.norm(expected)), floor)
            off = float(np.linalg.norm(old - new - expected)) / length
        found.append((off, name))
    return max(found)
