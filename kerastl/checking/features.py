"""Frozen features of all images, kept on disk, and what a head says of images it has not seen."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from scipy.special import expit, softmax

from kerastl.backbones import registry
from kerastl.checking.inventory import Inventory
from kerastl.checking.reading import Facts
from kerastl.data.resizing import ImageSettings
from kerastl.errors import sentence
from kerastl.model.classifier import ImageClassifier
from kerastl.model.head_solving import device
from kerastl.prefix.boundary import end_of_backbone
from kerastl.prefix.feature_files import FeatureFiles, KeptFeatures
from kerastl.prefix.features import as_array
from kerastl.prefix.functions import prefix_function, variables_before, weights_digest
from kerastl.solving.folds import fold_numbers
from kerastl.solving.heads import held_out_outputs
from kerastl.solving.logistic import SIGMOID, SOFTMAX
from kerastl.solving.rows import Rows

_ROWS, _NUMBERS = "features", "numbers"


class ImageFeatures:
    """What enters the head for every image, computed where it is not on disk.

    Args:
        inventory: The images.
        backbone: Spec of the backbone.
        weights: Its weights, as `ImageClassifier` takes them.
        image_size: Height and width, pixels; None: the backbone's own.
        files: Where features are kept.

    Attributes:
        settings: How images are brought to size.
        were_kept: Whether the features were on disk.
        not_kept: Why they are not now, in one line; empty where they are.
    """

    def __init__(
        self,
        inventory: Inventory,
        backbone: str,
        *,
        weights: str | None = "default",
        image_size: int | None = None,
        files: FeatureFiles | None = None,
    ) -> None:
        self._inventory = inventory
        built = registry.build(backbone, weights=weights, image_size=image_size)
        self.model: Any = ImageClassifier(
            built,
            num_classes=len(inventory.class_names),
            class_names=inventory.class_names,
            task=inventory.task,
        )
        self.settings = ImageSettings.checked(self.model.image_size, resizing=self.model.resizing)
        boundary = end_of_backbone(self.model)
        self._function = prefix_function(self.model, boundary)
        self._files = FeatureFiles() if files is None else files
        self._key = (
            "of a check",
            backbone,
            weights_digest(variables_before(self.model, boundary)),
            repr(self.model.preprocessing),
            f"{keras.backend.backend()} {keras.config.dtype_policy().name}",
            repr(self.settings),
            inventory.fingerprint(),
        )
        # Random weights are not met again: their features would only take the room of others.
        self._is_random = weights is None or weights.lower() == "none"
        kept = None if self._is_random else self._files.get(self._key)
        self.were_kept, self.not_kept = kept is not None, ""
        self._rows = [] if kept is None else [kept.arrays[_ROWS]]
        self._numbers = [] if kept is None else [kept.arrays[_NUMBERS]]

    def take(self, numbers: np.ndarray, pixels: np.ndarray) -> None:
        """Compute the features of some images.

        Args:
            numbers: Which, int64.
            pixels: 0-255, uint8, `(images, height, width, 3)`.
        """
        (rows,) = self._function(pixels)
        self._rows.append(as_array(rows).astype(np.float32, copy=False))
        self._numbers.append(numbers)

    def keep(self) -> None:
        """Write the features to disk, for the next time."""
        if self.were_kept or self._is_random or not self._rows:
            return
        arrays = {_ROWS: np.concatenate(self._rows), _NUMBERS: np.concatenate(self._numbers)}
        try:
            is_kept = self._files.put(self._key, KeptFeatures(arrays))
            self.not_kept = "" if is_kept else "they alone are above the limit"
        except OSError as error:  # a full disk: this check has them in memory
            self.not_kept = sentence(error)

    def predictions(
        self, facts: Facts, groups: np.ndarray, *, seed: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """What a head that was solved without an image's fold says of it.

        Args:
            facts: Which images are sound.
            groups: Images of one number are held out together, `(images,)`.
            seed: Number that fixes the folds.

        Returns:
            Numbers of the images that were held out, and their probabilities,
            `(held out, classes)`.
        """
        classes = len(self._inventory.class_names)
        if not self._rows:
            return np.zeros(0, np.int64), np.zeros((0, classes))
        features, numbers = np.concatenate(self._rows), np.concatenate(self._numbers)
        sound = facts.is_sound[numbers]
        features, numbers = features[sound], numbers[sound]
        labels = self._inventory.labels[numbers]
        own = groups[numbers]
        folds = fold_numbers(
            labels if self._inventory.is_of_classes else None,
            len(numbers),
            groups=own if len(np.unique(own)) < len(own) else None,
            seed=seed,
        )
        rows = Rows([features], labels, np.ones(len(numbers)), classes)
        loss = SOFTMAX if self._inventory.is_of_classes else SIGMOID
        logits = held_out_outputs(rows, loss, folds, device=device())
        held_out = folds >= 0
        given = softmax(logits[held_out], 1) if loss == SOFTMAX else expit(logits[held_out])
        return numbers[held_out], given
