"""Whether fine-tuning is worth while, by what the solved head and the blocks before it show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kerastl.model.head_solving import LabelledRows, fold_losses
from kerastl.prefix.block_means import block_means
from kerastl.runs import strategies
from kerastl.runs.training.preparing import PreparedRun

MOST_IMAGES = 400
"""Training images that are looked at."""

CERTAIN = 1.645
"""Standard errors that a block in the middle must be better by: one-sided 5 percent."""

# The first blocks have a handful of channels, and are never the best.
_FEWEST_CHANNELS = 24


@dataclass(frozen=True)
class Evidence:
    """How the best block in the middle does against the last, for these images.

    The last features of a backbone are made for the classes that it was
    trained on. Where those behind an earlier block tell the images apart
    better, the images are far from those classes, and there is something to
    win by training the blocks.

    Attributes:
        losses: Mean loss of held-out images by block, of a head solved on the
            mean of the block's output over positions.
        best: The block with the least loss before the last.
        last: The last block before the head.
        certainty: The mean difference of the images' losses in its standard
            errors; above 0 where the block in the middle is better.
        images: How many were looked at.
    """

    losses: dict[str, float]
    best: str
    last: str
    certainty: float
    images: int


def gather(prepared: PreparedRun) -> Evidence:
    """Solve a head behind every block, on a sample of the training images."""
    model, data = prepared.model, prepared.data
    features: dict[str, list[np.ndarray]] = {}
    labels: list[np.ndarray] = []
    data.set_epoch(0)
    means = block_means(model)
    for images, *others in data.train:
        for block, values in means(np.asarray(images)).items():
            features.setdefault(block, []).append(values)
        labels.append(np.asarray(others[0]))
        if sum(map(len, labels)) >= MOST_IMAGES:
            break
    truth = np.concatenate(labels)
    numbers, groups = np.arange(len(truth)), _groups_of_first(data, len(truth))
    losses = {
        block: fold_losses(
            model,
            LabelledRows(np.concatenate(parts), truth, np.ones(len(truth)), numbers, groups=groups),
            seed=prepared.config.seed,
        )
        for block, parts in features.items()
        if parts[0].shape[1] >= _FEWEST_CHANNELS or block == model.block_names[-2]
    }
    return _compared(losses, images=len(truth))


def _groups_of_first(data: Any, count: int) -> np.ndarray | None:
    """Groups of the images that the first epoch begins with, as they come.

    Without groups an image is its own one where it comes twice, else there are none.
    """
    dataset = data.train.dataset
    data.set_epoch(0)
    order = np.fromiter(data.train.sampler, np.int64)
    data.set_epoch(0)
    seen = order[~dataset.broken.numpy()[order]][:count]
    if dataset.groups is not None:
        return np.asarray(dataset.groups[seen])
    return seen if len(np.unique(seen)) < len(seen) else None


def _compared(losses: dict[str, np.ndarray], *, images: int) -> Evidence:
    """The evidence in the losses of each image by block, the last block last."""
    held_out = ~np.isnan(next(iter(losses.values())))
    means = {
        block: float(values[held_out].mean()) if held_out.any() else np.nan
        for block, values in losses.items()
    }
    *middle, last = means
    if not middle or np.isnan(means[last]):
        return Evidence(means, last, last, 0.0, images)
    best = min(middle, key=lambda block: means[block])
    gains = (losses[last] - losses[best])[held_out]
    error = gains.std(ddof=1) / len(gains) ** 0.5 if len(gains) > 1 else np.inf
    certainty = float(gains.mean() / error) if error > 0 else 0.0
    return Evidence(means, best, last, certainty, images)


def settled(prepared: PreparedRun) -> tuple[str, str]:
    """The strategy for the images of a run whose head is solved, and why, in a sentence."""
    images, classes = prepared.data.sizes["train"], prepared.data.num_classes
    if images / classes < strategies.FEW_IMAGES:
        return choice(gather(prepared))
    name, why = strategies.by_images(images, classes)
    return name, f"{name}: {why}, so training the blocks from the solved head is tried."


def choice(found: Evidence) -> tuple[str, str]:
    """The strategy that the evidence is for, and why, in a sentence."""
    seen = (
        f"a head behind {found.best} has a loss of {found.losses[found.best]:.3f} and one behind "
        f"{found.last} of {found.losses[found.last]:.3f} on {found.images:,} images held out"
    )
    if found.certainty > CERTAIN:
        return "full", (
            f"full: {seen}, so the later blocks are made for other images than these, and every "
            "block trains from the solved head."
        )
    return strategies.FEATURE_EXTRACTION, (
        f"feature-extraction: {seen}, so no block has much to learn from so few images, and only "
        "the head is solved."
    )
