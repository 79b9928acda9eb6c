"""Calibration error, and temperature scaling."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_softmax, softmax

from kerastl.blocks.block import HEAD

NUM_BINS = 15
"""Bins of equal width, as in Guo et al., 2017."""

# The best temperature of a network is between 0.5 and 5 or so; these only end the search.
_COLDEST, _HOTTEST = 1e-3, 1e3


@dataclass(frozen=True)
class Reliability:
    """Images grouped by how sure the model was of its answer.

    Attributes:
        counts: Images of each bin, `(bins,)`; bin `i` is for confidences in
            `(i / bins, (i + 1) / bins]`.
        confidence: Mean probability of the predicted class in each bin; 0
            where the bin is empty.
        accuracy: Share of each bin's images that were predicted right; 0
            where the bin is empty.
    """

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error (Naeini et al., 2015): the mean gap, weighted by images."""
        gaps = np.abs(self.accuracy - self.confidence)
        return float((self.counts * gaps).sum() / self.counts.sum())


@dataclass(frozen=True)
class Calibration:
    """What `calibrate` did.

    Attributes:
        temperature: What the model's logits are divided by from now on.
        error_before: Expected calibration error on the images, before.
        error_after: Likewise, after.
        loss_before: Mean cross-entropy on the images, nats, before.
        loss_after: Likewise, after.
    """

    temperature: float
    error_before: float
    error_after: float
    loss_before: float
    loss_after: float


def reliability(labels: Any, probabilities: Any, num_bins: int = NUM_BINS) -> Reliability:
    """The reliability curve of a classifier.

    Args:
        labels: True class of each image, `(images,)`.
        probabilities: What the model gave, `(images, classes)`.
        num_bins: Bins of equal width between 0 and 1.

    Raises:
        ValueError: If there is no image, or no bin.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, dtype="float64")
    if num_bins < 1:
        raise ValueError(f"`num_bins` must be 1 or more. Received: num_bins={num_bins}.")
    if probabilities.ndim != 2 or not len(labels) or len(labels) != len(probabilities):
        raise ValueError(
            "`probabilities` must have one row per label, and there must be one. Received: "
            f"probabilities of shape {probabilities.shape} with {len(labels)} labels."
        )
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = np.searchsorted(np.linspace(0, 1, num_bins + 1)[1:-1], confidence)
    counts = np.bincount(bins, minlength=num_bins)
    filled = np.maximum(counts, 1)
    return Reliability(
        counts,
        np.bincount(bins, weights=confidence, minlength=num_bins) / filled,
        np.bincount(bins, weights=right, minlength=num_bins) / filled,
    )


def expected_calibration_error(labels: Any, probabilities: Any, num_bins: int = NUM_BINS) -> float:
    """Mean gap between confidence and accuracy, weighted by the images of each bin.

    Naeini et al., 2015; with the confidence of the predicted class as in Guo et al., 2017.

    Args:
        labels: True class of each image, `(images,)`.
        probabilities: What the model gave, `(images, classes)`.
        num_bins: Bins of equal width between 0 and 1.

    Example:

    >>> expected_calibration_error([0, 1], [[0.75, 0.25], [0.75, 0.25]])
    0.25
    """
    return reliability(labels, probabilities, num_bins).error


def best_temperature(labels: Any, logits: Any) -> float:
    """The temperature that makes the mean cross-entropy of `logits / temperature` smallest.

    Guo et al., 2017. The cross-entropy is convex in `1 / temperature`, so its
    slope has one root at most.

    Args:
        labels: True class of each image, `(images,)`.
        logits: `(images, classes)`.

    Returns:
        The temperature; 1.0 where every image is predicted right, because then
        the smaller the temperature, the smaller the cross-entropy, without end.
    """
    labels, logits = np.asarray(labels), np.asarray(logits, dtype="float64")
    given = logits[np.arange(len(labels)), labels]

    def slope(inverse: float) -> float:
        expected = (softmax(logits * inverse, axis=1) * logits).sum(axis=1)
        return float((expected - given).mean())

    coldest, hottest = 1 / _COLDEST, 1 / _HOTTEST
    if slope(coldest) <= 0:
        return 1.0
    if slope(hottest) >= 0:
        return _HOTTEST
    return 1 / float(brentq(slope, hottest, coldest, xtol=1e-12))


def calibrate(model: Any, validation: Iterable[Any]) -> Calibration:
    """Set the model's temperature so that its probabilities are as sure as they are right.

    The predicted classes stay what they are. The temperature is part of the
    model from then on: `predict`, `evaluate`, the saved file and what goes on
    training have it.

    Args:
        model: An `ImageClassifier`.
        validation: Pairs of images and integer labels that it was not trained
            on, and that it will not be tested on.

    Returns:
        The temperature, and the calibration error before and after.

    Raises:
        ValueError: If there is no image, or the labels are no class numbers.

    Example:

        kerastl.calibrate(model, data.validation)
        model.save("flowers.keras")
    """
    from kerastl.data.named_labels import by_the_models_names

    validation = by_the_models_names(validation, model, "validation")
    return calibrate_from(model, *labelled_logits(model, validation))


def calibrate_from(model: Any, labels: np.ndarray, logits: np.ndarray) -> Calibration:
    """As `calibrate`, by logits that are at hand.

    Args:
        model: An `ImageClassifier`.
        labels: True class of each image, `(images,)`.
        logits: Of a model that has not seen the images, before the
            temperature, `(images, classes)`; or of one probability, `(images, 1)`.
    """
    if logits.shape[1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    head = model.get_layer(HEAD)
    before = logits / head.temperature
    temperature = best_temperature(labels, logits)
    after = logits / temperature
    head.temperature = temperature
    # A compiled function has the old temperature in it.
    model.train_function = model.test_function = model.predict_function = None
    return Calibration(
        temperature,
        expected_calibration_error(labels, softmax(before, axis=1)),
        expected_calibration_error(labels, softmax(after, axis=1)),
        _cross_entropy(labels, before),
        _cross_entropy(labels, after),
    )


def labelled_logits(model: Any, batches: Iterable[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Labels `(images,)`, and logits before the temperature, `(images, classes)`.

    A model of one probability gives the logits of two classes.

    Args:
        model: An `ImageClassifier`.
        batches: Pairs of images and integer labels.

    Raises:
        ValueError: If there is no image, or the labels are no class numbers.
    """
    import keras

    head = model.get_layer(HEAD)
    pooled = keras.Model(model.inputs[0], head.input)
    labels, logits = [], []
    for images, truth in batches:
        features = keras.ops.convert_to_tensor(pooled.predict_on_batch(np.asarray(images)))
        given = keras.ops.convert_to_numpy(head.logits_of(features, training=False))
        classes = np.asarray(truth)
        if classes.size != len(given):
            raise ValueError(
                "`validation` must have one class number per image. Received: labels of shape "
                f"{classes.shape} for {len(given)} images."
            )
        labels.append(classes.reshape(-1).astype("int64"))
        logits.append(np.array(given, dtype="float64"))
    if not labels:
        raise ValueError(
            "`validation` must hold images. Received: none. Load the data with a validation part."
        )
    columns = np.concatenate(logits)
    if columns.shape[1] == 1:
        columns = np.concatenate([np.zeros_like(columns), columns], axis=1)
    return np.concatenate(labels), columns


def _cross_entropy(labels: np.ndarray, logits: np.ndarray) -> float:
    return float(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())
