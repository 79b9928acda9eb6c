"""kerastl's network and weights as a plain torch module, for libraries of torch."""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.accuracy.tasks import NotAvailableError, Task
from kerastl.backbones import registry
from kerastl.backbones.base import Preprocessing


class Backbone(nn.Module):
    """Images 0-1, `(batch, 3, height, width)`, to a feature map, normalised within."""

    def __init__(self, parts: list[nn.Module], preprocessing: Preprocessing) -> None:
        super().__init__()
        self.parts = nn.Sequential(*parts)
        self._factor = 255 * preprocessing.scale
        self.mean, self.std = (
            nn.Buffer(torch.tensor(values).view(3, 1, 1))
            for values in (preprocessing.mean, preprocessing.std)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.parts((images * self._factor - self.mean) / self.std)


def backbone_of(task: Task) -> Backbone:
    """The pretrained network before its pooling and last layer.

    Raises:
        NotAvailableError: If it is no convolutional network of torch.
    """
    built = registry.build(task.backbone, weights=task.weights, image_size=task.image_size)
    networks = [part.network for part in built.parts]
    layouts = {layout for part in built.parts for layout in (part.input_layout, part.output_layout)}
    is_torch = all(isinstance(network, nn.Module) for network in networks)
    if not is_torch or layouts != {"NCHW"} or built.preprocessing.channel_order != "rgb":
        raise NotAvailableError(f"{task.backbone} is no convolutional network of torch")
    return Backbone(networks, built.preprocessing)


def as_tensor(images: torch.Tensor) -> torch.Tensor:
    """Pixels 0-255, `(images, height, width, 3)`, to 0-1, `(images, 3, height, width)`."""
    return images.permute(0, 3, 1, 2).contiguous().float() / 255


def accuracy_of(network: nn.Module, task: Task) -> float:
    """Share of the held-out images whose class gets the largest logit."""
    network.eval()
    images = as_tensor(torch.from_numpy(task.sample.test_images))
    with torch.no_grad():
        predicted = torch.cat([network(batch).argmax(1) for batch in images.split(64)])
    return float((predicted == torch.from_numpy(task.sample.test_labels)).float().mean())
