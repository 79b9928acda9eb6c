"""Folded networks against the networks that they were made from."""

import copy

import pytest
import torch
import torchvision
from small_models import TORCHVISION_FAMILIES, TORCHVISION_SIZE, TORCHVISION_SIZES
from torch import nn

from kerastl.backbones import registry
from kerastl.backbones.efficientnet_lite import EfficientNetLite
from kerastl.prefix.folding import folded


def randomized(module):
    torch.manual_seed(0)
    for each in module.modules():
        if isinstance(each, nn.BatchNorm2d) and each.track_running_stats:
            nn.init.normal_(each.running_mean)
            nn.init.uniform_(each.running_var, 0.5, 2.0)
    return module.eval()


def norms(module):
    return sum(isinstance(each, nn.BatchNorm2d) for each in module.modules())


def assert_same_function(module, images):
    state = copy.deepcopy(module.state_dict())
    faster = folded(module)
    with torch.no_grad():
        expected, found = module(images), faster(images)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    shared = {tensor.data_ptr() for tensor in module.state_dict().values() if tensor.numel()}
    assert not shared & {t.data_ptr() for t in faster.state_dict().values() if t.numel()}
    return faster


@pytest.mark.parametrize("name", TORCHVISION_FAMILIES)
def test_a_folded_network_is_the_same_function(name):
    size = TORCHVISION_SIZES.get(name, TORCHVISION_SIZE)
    backbone = registry.build(f"torchvision:{name}", weights="none", image_size=size)
    module = randomized(nn.Sequential(*(part.network for part in backbone.parts)))
    assert_same_function(module, torch.rand(2, 3, size, size))


def test_every_batch_norm_behind_a_convolution_is_folded():
    module = randomized(torchvision.models.resnet18(weights=None))
    assert norms(module) == 20
    assert norms(assert_same_function(module, torch.rand(2, 3, 32, 32))) == 0
    lite = randomized(EfficientNetLite())
    assert norms(assert_same_function(lite, torch.rand(2, 3, 32, 32))) == 0


class Awkward(nn.Module):
    """Batch norms that must stay: on a sum, behind a convolution used twice, without statistics."""

    def __init__(self):
        super().__init__()
        self.conv, self.other = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 1)
        self.on_sum, self.shared = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.free = nn.BatchNorm2d(3, track_running_stats=False)

    def forward(self, x):
        x = self.conv(x)
        x = self.shared(x) + x
        return self.free(self.other(self.on_sum(x + self.shared(x))))


def test_a_batch_norm_that_cannot_be_folded_stays():
    faster = assert_same_function(randomized(Awkward()), torch.rand(2, 3, 8, 8))
    assert norms(faster) == 3


class Borrowing(nn.Module):
    """Uses the weight of its convolution a second time, by itself."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1, bias=False), nn.BatchNorm2d(3)

    def forward(self, x):
        return self.norm(self.conv(x)) + nn.functional.conv2d(x, self.conv.weight)


def test_a_weight_that_is_used_elsewhere_stays():
    assert_same_function(randomized(Borrowing()), torch.rand(2, 3, 8, 8))


class Untraceable(nn.Module):
    """Decides by the data."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x):
        return self.norm(self.conv(x)) if x.sum() > 0 else x


def test_a_network_that_cannot_be_traced_is_copied():
    assert_same_function(randomized(Untraceable()), torch.rand(2, 3, 8, 8))
