"""Whether fine-tuning is likely to gain, from the training images alone.

A backbone's last features are made for its own classes. Where features behind a block in
the middle tell the images apart better, by the log-loss of folds, the images are far from
those, and training the blocks has something to win; where the last features are the best,
it has not, with few images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.accuracy.solved_head import SolvedHead, solve
from kerastl.blocks.running import no_gradients, run_layers

_FEWEST_FEATURES = 24
"""The first blocks have a handful of channels, and are never the best."""


@dataclass(frozen=True)
class Evidence:
    """How the best block in the middle does against the last.

    Attributes:
        block: The best block before the last.
        ratio: Its log-loss over that of the solved head; below 1 speaks for fine-tuning.
        certainty: The mean difference of the images' log-losses in its standard errors;
            above 0 where the middle is better.
    """

    block: str
    ratio: float
    certainty: float


def gather(model: Any, images: np.ndarray, labels: np.ndarray, last: SolvedHead) -> Evidence:
    """Solve a head behind every block, and compare the best with the last.

    Args:
        model: An `ImageClassifier` of a convolutional backbone, as pretrained.
        images: Training images.
        labels: Their classes.
        last: The head solved on the features behind the last block.
    """
    heads = {
        name: solve(features, labels)
        for name, features in block_features(model, images).items()
        if features.shape[1] >= _FEWEST_FEATURES
    }
    block = min(heads, key=lambda name: heads[name].log_loss)
    gains = last.image_losses - heads[block].image_losses
    error = gains.std(ddof=1) / len(gains) ** 0.5
    return Evidence(block, heads[block].log_loss / last.log_loss, float(gains.mean() / error))


def block_features(
    model: Any, images: np.ndarray, *, batch_size: int = 64
) -> dict[str, np.ndarray]:
    """Features behind each block before the last, averaged over height and width.

    Returns:
        Block name -> `(images, channels)`, float64; blocks without a feature map are left out.
    """
    import keras

    names = model.block_names[:-2]
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for start in range(0, len(images), batch_size):
        values = keras.ops.convert_to_tensor(images[start : start + batch_size])
        with no_gradients():
            for layer in model.layers[1:]:
                if layer.name == model.block_names[-2]:
                    break
                values = run_layers(model, [layer], values, training=False)
                if layer.name in names and len(values.shape) == 4:
                    found[layer.name].append(_averaged(keras.ops.convert_to_numpy(values)))
    return {name: np.concatenate(parts) for name, parts in found.items() if parts}


def _averaged(values: np.ndarray) -> np.ndarray:
    """Mean over the two axes that are equally long: height and width, wherever they stand."""
    axes = (2, 3) if values.shape[2] == values.shape[3] else (1, 2)
    return values.mean(axes).astype(np.float64)
