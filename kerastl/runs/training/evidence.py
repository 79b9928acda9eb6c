"""Whether fine-tuning is worth while, by what the solved head and the blocks before it show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kerastl.blocks.running import no_gradients, run_layers
from kerastl.model.head_solving import LabelledRows, fold_losses
from kerastl.runs import strategies
from kerastl.runs.training.preparing import PreparedRun

MOST_IMAGES = 500
"""Training images that are looked at."""

LESS_LOSS = 0.93
"""Where a block in the middle comes to less than this share of the last block's loss, the last
blocks are made for other images than these."""


@dataclass(frozen=True)
class Evidence:
    """What the features behind each block are worth for these images.

    Attributes:
        losses: Mean loss of held-out images by block, of a head solved on the
            mean of the block's output over height and width; the last is what
            the model's own head gets.
        images: How many were looked at.
    """

    losses: dict[str, float]
    images: int

    @property
    def last(self) -> str:
        """The last block before the head."""
        return list(self.losses)[-1]

    @property
    def best(self) -> str:
        """The block with the least loss."""
        return min(self.losses, key=lambda block: self.losses[block])

    @property
    def share(self) -> float:
        """The least loss over that of the last block."""
        return self.losses[self.best] / self.losses[self.last]


def gather(prepared: PreparedRun) -> Evidence:
    """Solve a head behind every block, on a sample of the training images."""
    model, data = prepared.model, prepared.data
    features: dict[str, list[np.ndarray]] = {}
    labels: list[np.ndarray] = []
    data.set_epoch(0)
    for images, *others in data.train:
        for block, values in block_means(model, images).items():
            features.setdefault(block, []).append(values)
        labels.append(np.asarray(others[0]))
        if sum(map(len, labels)) >= MOST_IMAGES:
            break
    data.set_epoch(0)
    truth = np.concatenate(labels)
    numbers = np.arange(len(truth))
    losses = {
        block: fold_losses(
            model,
            LabelledRows(np.concatenate(parts), truth, np.ones(len(truth)), numbers),
            seed=prepared.config.seed,
        )
        for block, parts in features.items()
    }
    return Evidence(losses, len(truth))


def block_means(model: Any, images: Any) -> dict[str, np.ndarray]:
    """The output of each block before the head, its mean over positions, `(batch, channels)`.

    Args:
        model: The classifier; it runs in inference mode.
        images: Pixels 0-255, `(batch, height, width, 3)`.
    """
    found: dict[str, np.ndarray] = {}
    head = [layer.name for layer in model.layers].index(model.block_names[-1])
    with no_gradients():
        values: Any = keras.ops.convert_to_tensor(images)
        for layer in model.layers[1:head]:
            values = run_layers(model, [layer], values, training=False)
            if layer.name in model.block_names[:-1]:
                found[layer.name] = _mean(values)
        last = model.block_names[-2]
        found[last] = _mean(values)  # pooled as the model does it
    return found


def choice(evidence: Evidence) -> tuple[str, str]:
    """The strategy that the evidence is for, and why, in a sentence."""
    block, share = evidence.best, evidence.share
    counted = f"by {evidence.images:,} images"
    if share < LESS_LOSS:
        return "full", (
            f"full: a head behind {block} has {share:.2f} of the loss of one behind "
            f"{evidence.last} {counted}, so the later blocks are made for other images, and every "
            "block trains from the solved head."
        )
    return strategies.FEATURE_EXTRACTION, (
        f"feature-extraction: no block has features much better than the last {counted}, so only "
        "the head is solved."
    )


def _mean(values: Any) -> np.ndarray:
    first = values[0] if isinstance(values, list | tuple) else values
    array = np.asarray(keras.ops.convert_to_numpy(first), dtype="float32")
    return array.mean(axis=tuple(range(1, array.ndim - 1))) if array.ndim > 2 else array
