"""A weight for each image of a batch, by its class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kerastl.internals.loaders import remade


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

    def __call__(self, samples: Any) -> Any:
        """A batch `(images, labels, weights)`, the weights float32, `(batch,)`.

        Raises:
            ValueError: If the batch is no pair.
        """
        import torch

        batch = self.inner(samples)
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            what = (
                f"{len(batch)} items" if isinstance(batch, tuple | list) else type(batch).__name__
            )
            raise ValueError(
                f"`class_weight` needs batches (images, labels). Received: {what}. "
                "Leave `class_weight` out, and give the weights as the third item of each batch."
            )
        images, labels = batch
        weights = [self._weights.get(int(number), 1.0) for number in class_numbers(labels)]
        return images, labels, torch.tensor(weights, dtype=torch.float32)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.inner!r}, {self._weights})"


def balanced_weights(labels: np.ndarray) -> dict[int, float]:
    """Weights that make every class count alike: images / (classes x images of the class).

    Args:
        labels: Class of each image, `(images,)`.
    """
    from sklearn.utils.class_weight import compute_class_weight

    classes = np.unique(labels)
    weights = compute_class_weight("balanced", classes=classes, y=labels)
    return {int(label): float(weight) for label, weight in zip(classes, weights, strict=True)}


def class_numbers(labels: Any) -> Any:
    """The class of each image, `(batch,)`: of one-hot rows the largest, as Keras has it."""
    if labels.ndim == 2:
        return labels.argmax(-1) if labels.shape[-1] > 1 else labels[:, 0]
    return labels


def with_class_weights(loader: Any, class_weight: Mapping[int, float]) -> Any:
    """The same loader with a weight per image: Keras takes class weights for arrays only.

    Raises:
        ValueError: If the loader makes no batches.
    """
    if loader.batch_sampler is None:
        raise ValueError(
            "`class_weight` needs a DataLoader that makes batches. Received: batch_size=None. "
            "Give sample weights as the third item of each batch."
        )
    return remade(loader, collate=WeightedCollate(loader.collate_fn, class_weight))
