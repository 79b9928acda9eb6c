"""A head solved instead of trained: logistic regression on the frozen backbone's features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kerastl.blocks.block import HEAD

PENALTIES = np.logspace(-5, 2, 15)
"""Values of scikit-learn's `C` that cross-validation chooses from."""
_FOLDS = 5
_COMMON_SHARE = 0.3


@dataclass(frozen=True)
class SolvedHead:
    """A linear layer from features to logits, and how well it did on images it had not seen.

    Attributes:
        kernel: `(features, classes)`.
        bias: `(classes,)`.
        strength: The chosen `C`, inverse of the L2 penalty.
        log_loss: Mean log-loss of images that a fold had not seen.
        accuracy: Their accuracy.
        image_losses: Log-loss of each image, by the fold that had not seen it.
    """

    kernel: np.ndarray
    bias: np.ndarray
    strength: float
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


def feature_scale(features: np.ndarray) -> np.ndarray:
    """What each centred feature is divided by: its standard deviation, and a share of all.

    A feature that hardly changes in a few training images would get a kernel a thousand
    times that of others by its own standard deviation alone, and ruin every image in
    which it does change.
    """
    spread = features.std(0)
    typical = float(np.sqrt(np.mean(spread**2)))
    return spread + _COMMON_SHARE * typical if typical else np.ones_like(spread)


def solve(features: np.ndarray, labels: np.ndarray) -> SolvedHead:
    """Multinomial logistic regression; five folds choose the L2 penalty by log-loss.

    Args:
        features: `(images, features)`.
        labels: Class of each, all classes present.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    mean, scale = features.mean(0), feature_scale(features)
    standard = (features - mean) / scale
    # An L2 penalty is the same in any orthonormal basis: the one of the images is smaller.
    _, _, basis = np.linalg.svd(standard, full_matrices=False)
    reduced = standard @ basis.T
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    losses = np.zeros((len(PENALTIES), len(labels)))
    hits = np.zeros_like(losses)
    numbers = np.unique(labels, return_inverse=True)[1]
    for train, held_out in folds.split(reduced, labels):
        model = LogisticRegression(max_iter=300, tol=1e-4, warm_start=True)
        for row, strength in enumerate(PENALTIES):
            model.set_params(C=strength).fit(reduced[train], labels[train])
            predicted = model.predict_proba(reduced[held_out])
            own = predicted[np.arange(len(held_out)), numbers[held_out]]
            losses[row, held_out] = -np.log(np.maximum(own, np.finfo(float).tiny))
            hits[row, held_out] = predicted.argmax(1) == numbers[held_out]
    best = int(losses.mean(1).argmin())
    model = LogisticRegression(C=PENALTIES[best], max_iter=1000).fit(reduced, labels)
    kernel = (model.coef_ @ basis).T / scale[:, None]
    return SolvedHead(
        kernel,
        model.intercept_ - mean @ kernel,
        float(PENALTIES[best]),
        float(losses.mean(1)[best]),
        float(hits.mean(1)[best]),
        losses[best],
    )


def put_into(model: Any, head: SolvedHead) -> None:
    """Give the head of a model the solved weights."""
    model.get_layer(HEAD).logits.set_weights([head.kernel, head.bias])
