"""A head solved instead of trained, as kerastl solves it, from features at hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kerastl.blocks.block import HEAD
from kerastl.solving import heads
from kerastl.solving.folds import fold_numbers
from kerastl.solving.logistic import SOFTMAX
from kerastl.solving.rows import Rows


@dataclass(frozen=True)
class SolvedHead:
    """A linear layer from features to logits, and how well it did on images it had not seen.

    Attributes:
        kernel: `(features, classes)`.
        bias: `(classes,)`.
        penalty: The chosen factor of the squared coefficients, 1 / C in scikit-learn's terms.
        log_loss: Mean log-loss of images that a fold had not seen.
        accuracy: Their accuracy.
        image_losses: Log-loss of each image, by the fold that had not seen it.
    """

    kernel: np.ndarray
    bias: np.ndarray
    penalty: float
    log_loss: float
    accuracy: float
    image_losses: np.ndarray


def features_of(model: Any, images: np.ndarray, *, batch_size: int = 64) -> np.ndarray:
    """Pooled features of all images, `(images, features)`, float64."""
    import keras

    parts = [
        keras.ops.convert_to_numpy(model.features(images[start : start + batch_size]))
        for start in range(0, len(images), batch_size)
    ]
    return np.concatenate(parts).astype(np.float64)


def solve(features: np.ndarray, labels: np.ndarray) -> SolvedHead:
    """Multinomial logistic regression; five folds choose the L2 penalty by log-loss.

    Args:
        features: `(images, features)`.
        labels: Class of each, from 0, all classes present.
    """
    rows = Rows([features], labels, np.ones(len(labels)), int(labels.max()) + 1)
    found = heads.solve(rows, SOFTMAX, fold_numbers(labels, len(labels)))
    targets = rows.target_rows(slice(0, len(labels)))
    losses = heads.row_losses(SOFTMAX, found.held_out, targets)[:, 0]
    return SolvedHead(
        found.kernel,
        found.bias,
        float(found.penalty[0]),
        float(losses.mean()),
        float((found.held_out.argmax(1) == labels).mean()),
        losses,
    )


def put_into(model: Any, head: SolvedHead) -> None:
    """Give the head of a model the solved weights."""
    model.get_layer(HEAD).logits.set_weights([head.kernel, head.bias])
