"""Logits of whole networks against torch's own."""

import pytest
import reference
import torch
from small_models import TORCHVISION_FAMILIES, TORCHVISION_SIZE, TORCHVISION_SIZES

from kerastl import list_backbones

FAMILIES = [
    *(f"torchvision:{name}" for name in TORCHVISION_FAMILIES),
    *list_backbones("bundled"),
]


# By default one of each kind: a residual one, one without norms, one of windows and attention.
QUICK = {"resnet18", "squeezenet1_1", "swin_t"}


def by_size(spec):
    is_quick = spec.partition(":")[2] in QUICK
    return spec if is_quick else pytest.param(spec, marks=pytest.mark.slow)


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
