"""The reference: a hand-written float32 loop of the kind that PyTorch's tutorials teach."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from benchmarks.contestants import TrainingOutcome
from benchmarks.images import IMAGENET_MEAN, IMAGENET_STD, tensor_loader
from benchmarks.jobs import Job
from benchmarks.networks import build_network, freeze

_RESIZE_SIZE = 256


def prepare(job: Job) -> Callable[[], TrainingOutcome]:
    """Build network, optimizer and loader; float32 in the mixed-precision jobs too."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = build_network(job).to(device)
    optimizer = torch.optim.SGD(freeze(network, job), lr=0.001, momentum=0.9)
    loader = tensor_loader(job)
    note = "float32, as the reference always is" if job.is_mixed else ""

    def train() -> TrainingOutcome:
        loss = float("nan")
        for _ in range(job.epochs):
            loss, _ = train_epoch(network, loader, optimizer, device=device)
        return TrainingOutcome(loss, note)

    return train


def train_epoch(
    network: nn.Module,
    loader: DataLoader,
    optimizer: torch.optim.Optimizer,
    *,
    device: torch.device,
) -> tuple[float, float]:
    """One pass over the images.

    Returns:
        Mean loss and accuracy over the pass.
    """
    criterion = nn.CrossEntropyLoss()
    network.train()
    total_loss, correct, seen = 0.0, 0, 0
    for inputs, labels in loader:
        inputs, labels = inputs.to(device), labels.to(device)
        optimizer.zero_grad()
        outputs = network(inputs)
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()
        total_loss += loss.item() * len(inputs)
        correct += (outputs.argmax(dim=1) == labels).sum()
        seen += len(inputs)
    return total_loss / seen, float(correct) / seen


def photo_batches(folder: Path, job: Job) -> DataLoader:
    """Every photo as torchvision's usual evaluation pipeline gives it, in batches.

    The workers stay from pass to pass, as ours do.
    """
    pipeline = transforms.Compose(
        [
            transforms.Resize(_RESIZE_SIZE),
            transforms.CenterCrop(job.image_size),
            transforms.ToTensor(),
            transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    return DataLoader(
        ImageFolder(folder, pipeline),
        batch_size=job.batch_size,
        shuffle=True,
        num_workers=job.num_workers or 0,
        persistent_workers=bool(job.num_workers),
    )
