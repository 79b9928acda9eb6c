"""The loop of PyTorch's transfer-learning tutorial, with Adam as most copies of it have it."""

from __future__ import annotations

import time

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.accuracy.rows.torch_network import accuracy_of, as_tensor, backbone_of
from benchmarks.accuracy.tasks import NotAvailableError, Outcome, Task

_EPOCHS = 10
_RATE = 1e-3
_BATCH_SIZE = 32


def measure(task: Task, *, trains: str) -> Outcome:
    """A new linear layer, ten epochs; batch norms stay in training mode, as in the tutorial."""
    torch.manual_seed(task.seed)
    started = time.perf_counter()
    images = as_tensor(torch.from_numpy(task.sample.images))
    backbone = backbone_of(task)
    if trains == "last layer":
        backbone.requires_grad_(False)
    with torch.no_grad():
        shape = backbone.eval()(images[:1]).shape
    if len(shape) != 4:
        raise NotAvailableError(f"{task.backbone} pools by itself")
    head = nn.Linear(shape[1], task.num_classes)
    network = nn.Sequential(backbone, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    data = TensorDataset(images, torch.from_numpy(task.sample.labels))
    _train(network, DataLoader(data, batch_size=_BATCH_SIZE, shuffle=True))
    seconds = time.perf_counter() - started
    return Outcome(accuracy_of(network, task), seconds)


def _train(network: nn.Module, batches: DataLoader[tuple[torch.Tensor, ...]]) -> None:
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=_RATE)
    loss_of = nn.CrossEntropyLoss()
    network.train()
    for _ in range(_EPOCHS):
        for images, labels in batches:
            optimizer.zero_grad()
            loss_of(network(images), labels).backward()
            optimizer.step()
