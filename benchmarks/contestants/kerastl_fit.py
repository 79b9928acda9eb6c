"""kerastl as its README shows it, everything at its default."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from benchmarks.contestants import TrainingOutcome
from benchmarks.images import random_images
from benchmarks.jobs import NUM_CLASSES, SEED, TINY, Job
from benchmarks.networks import tiny_network
from kerastl import ImageClassifier, load_data


def prepare(job: Job) -> Callable[[], TrainingOutcome]:
    """Build the classifier; what is returned calls `fit` on the raw pixels."""
    keras.config.set_dtype_policy(job.precision)
    images, labels = random_images(job)
    model = build_classifier(job)

    def train() -> TrainingOutcome:
        history = model.fit(
            images, labels, batch_size=job.batch_size, epochs=job.epochs, verbose=0
        ).history
        return TrainingOutcome(history["loss"][-1], f"cache {model.cache_report}")

    return train


def build_classifier(job: Job) -> ImageClassifier:
    """The job's classifier, frozen as its strategy says, and compiled."""
    keras.utils.set_random_seed(SEED)
    model = ImageClassifier(
        tiny_network() if job.model == TINY else job.model,
        num_classes=NUM_CLASSES,
        weights=None,
        image_size=job.image_size,
    )
    if job.strategy == "feature-extraction":
        model.freeze()
    elif job.strategy == "partial":
        model.freeze(through="layer2")
    model.compile(keras.optimizers.SGD(momentum=0.9), learning_rate=1e-3)
    return model


def photo_batches(folder: Path, job: Job) -> Any:
    """Every photo in batches of pixels; their normalisation is a part of the model."""
    return load_data(
        f"folder:{folder}",
        image_size=job.image_size,
        batch_size=job.batch_size,
        num_workers=job.num_workers,
        validation_split=0,
        test_split=0,
    ).train


def folder_batches(folder: Path, job: Job) -> Any:
    """The training batches of a folder, split as by default."""
    return load_data(f"folder:{folder}", image_size=job.image_size).train
