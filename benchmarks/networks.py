"""The torch networks of the jobs, and which of their parts are frozen."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import torch
import torchvision
from torch import nn

from benchmarks.jobs import NUM_CLASSES, SEED, TINY, Job

_FROZEN = {
    "feature-extraction": ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4"),
    "partial": ("conv1", "bn1", "layer1", "layer2"),
    "full": (),
}


def build_network(job: Job) -> nn.Module:
    """The job's network with a new last layer, nothing frozen; the same weights every time.

    Takes `(batch, 3, height, width)` and gives logits, `(batch, classes)`.
    """
    torch.manual_seed(SEED)
    if job.model == TINY:
        return tiny_network()
    network = torchvision.models.get_model(job.architecture, weights=None)
    network.fc = nn.Linear(network.fc.in_features, NUM_CLASSES)
    return network


def tiny_network() -> nn.Module:
    """One convolution, pooling and a linear layer."""
    layers = {
        "conv": nn.Conv2d(3, 8, kernel_size=3, stride=2, padding=1),
        "relu": nn.ReLU(),
        "pool": nn.AdaptiveAvgPool2d(1),
        "flatten": nn.Flatten(),
        "fc": nn.Linear(8, NUM_CLASSES),
    }
    return nn.Sequential(OrderedDict(layers))


def parameters_by_fate(
    network: nn.Module, job: Job
) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The parameters that the job's strategy freezes, and those that train."""
    frozen = [
        parameter
        for name in _FROZEN[job.strategy]
        for parameter in network.get_submodule(name).parameters()
    ]
    return frozen, list(_others(network, frozen))


def freeze(network: nn.Module, job: Job) -> list[nn.Parameter]:
    """Take gradients off what the job's strategy freezes; gives the parameters that train."""
    frozen, trained = parameters_by_fate(network, job)
    for parameter in frozen:
        parameter.requires_grad = False
    return trained


def _others(network: nn.Module, frozen: list[nn.Parameter]) -> Iterator[nn.Parameter]:
    known = {id(parameter) for parameter in frozen}
    return (parameter for parameter in network.parameters() if id(parameter) not in known)
