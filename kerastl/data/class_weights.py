"""A weight for each image of a batch, by its class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class WeightedCollate:
    """Adds a weight per image to each batch, by its label.

    Args:
        collate: Makes the batch `(images, labels)`.
        weights: Weight of each class; 1 for the others.

    Attributes:
        inner: `collate`.
    """

    def __init__(self, collate: Any, weights: Mapping[int, float]) -> None:
        self.inner = collate
        self._weights = dict(weights)

    def __call__(self, samples: Sequence[Any]) -> Any:
        import torch

        images, labels = self.inner(samples)
        weights = [self._weights.get(int(label), 1.0) for label in labels]
        return images, labels, torch.tensor(weights, dtype=torch.float32)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.inner!r}, {self._weights})"
