"""What a row of the table is given: images, a backbone, a seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.accuracy.image_sets import Sample


class NotAvailableError(Exception):
    """A row cannot be measured here; the sentence says why."""


@dataclass(frozen=True)
class Task:
    """One measurement's input.

    Attributes:
        sample: Training and held-out images as arrays.
        folder: The same as files: `train/` and `test/`, one subfolder per class.
        work: An empty folder to write into.
        backbone: A spec of kerastl's.
        weights: Its weights.
        seed: Of the order of the images and of new weights.
    """

    sample: Sample
    folder: Path
    work: Path
    backbone: str
    weights: str
    seed: int

    @property
    def image_size(self) -> int:
        """Height and width, pixels."""
        return int(self.sample.images.shape[1])

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.sample.class_names)


@dataclass(frozen=True)
class Outcome:
    """One measurement.

    Attributes:
        accuracy: Share of the held-out images whose class came first.
        seconds: From images to a trained model, libraries imported; the network is built in it.
        note: What was chosen on the way, if anything.
    """

    accuracy: float
    seconds: float
    note: str = ""


def write_folder(sample: Sample, folder: Path) -> None:
    """Write the images as PNG files, one subfolder per class below `train/` and `test/`."""
    parts = {
        "train": (sample.images, sample.labels),
        "test": (sample.test_images, sample.test_labels),
    }
    for part, (images, labels) in parts.items():
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            # Numbered, so that the order of the classes is that of the labels.
            path = folder / part / f"{label:03}" / f"{number:05}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.asarray(image)).save(path)
