"""Logits of whole networks against torch's own."""

import pytest
import reference
import torch
from small_models import TORCHVISION_FAMILIES, TORCHVISION_SIZE, TORCHVISION_SIZES

from kerastl import list_backbones

FAMILIES = [*(f"torchvision:{name}" for name in TORCHVISION_FAMILIES), "bundled:efficientnet_lite0"]


LARGE = {"maxvit_t", "densenet121", "inception_v3", "convnext_tiny", "vgg11_bn", "googlenet"}


def by_size(spec):
    is_large = spec.partition(":")[2] in LARGE
    return pytest.param(spec, marks=pytest.mark.slow) if is_large else spec


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


@pytest.mark.parametrize("spec", [by_size(spec) for spec in FAMILIES])
def test_logits_are_those_of_the_original(spec):
    check_logits(spec)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "spec", [name for name in list_backbones("torchvision") if name not in FAMILIES]
)
def test_logits_of_every_other_model_are_those_of_the_original(spec):
    check_logits(spec)
