"""Other labels or weights in the batches of a loader. Worker processes import it: no Keras here."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np


class LabelChange(Protocol):
    """From the labels of a batch, and its weights or None, to others."""

    def __call__(
        self, labels: np.ndarray, weights: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Labels `(batch, ...)` and weights `(batch,)`, or None for no weights."""


class ChangedCollate:
    """A collate function whose batches get other labels or weights.

    Args:
        collate: Makes the batch `(images, labels)` or `(images, labels, weights)`.
        change: Makes the labels and weights.

    Attributes:
        inner: `collate`.
    """

    def __init__(self, collate: Any, change: LabelChange) -> None:
        self.inner = collate
        self._change = change

    def __call__(self, samples: Any) -> Any:
        """The batch, changed.

        Raises:
            ValueError: If it is neither a pair nor a triple.
        """
        return changed_batch(self.inner(samples), self._change)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.inner!r}, {self._change!r})"


def changed_batch(batch: Any, change: LabelChange) -> tuple[Any, ...]:
    """A batch with other labels or weights, each of the kind that the labels are of.

    Args:
        batch: `(images, labels)` or `(images, labels, weights)`, arrays or tensors.
        change: Makes the labels and weights.

    Raises:
        ValueError: If it is neither.
    """
    if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
        what = f"{len(batch)} items" if isinstance(batch, tuple | list) else type(batch).__name__
        raise ValueError(
            "A batch must be (images, labels) or (images, labels, weights), where classes have "
            f"weights or are matched by name. Received: {what}. Let the data give one of these."
        )
    images, labels, *others = batch
    weights = others[0] if others else None
    new_labels, new_weights = change(
        _as_array(labels), None if weights is None else _as_array(weights)
    )
    alike = _alike(labels)
    if new_weights is None:
        return images, alike(new_labels)
    return images, alike(new_labels), alike(new_weights)


def _as_array(values: Any) -> np.ndarray:
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def _alike(labels: Any) -> Any:
    """What makes an array a torch tensor where the labels were one."""
    if not hasattr(labels, "detach"):
        return lambda array: array
    import torch

    return lambda array: torch.as_tensor(array, device=labels.device)
