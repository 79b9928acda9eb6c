"""One backbone at one image size: its model, and the features of images behind each block."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from kerastl.backbones import registry
from kerastl.blocks.batch_norm import FROZEN
from kerastl.data.loading import ImageData, Part
from kerastl.data.reloading import at_size, some_images
from kerastl.errors import sentence
from kerastl.model.classifier import ImageClassifier
from kerastl.prefix.block_means import block_means
from kerastl.prefix.feature_files import FeatureFiles, KeptFeatures
from kerastl.prefix.functions import weights_digest
from kerastl.prefix.sources import numbered
from kerastl.runs.picking.candidates import Candidate

BATCH_SIZE = 32
FAILURES = (ValueError, TypeError, OSError, RuntimeError, ImportError, MemoryError)
"""What one candidate may raise without ending the search; anything else is a fault of kerastl."""

_TIMED = 3
# Worker processes that decode pay from this many batches on.
_MANY_BATCHES = 8
_POSITIONS, _LABELS, _BLOCK = "positions", "labels", "block/"
_ASKED, _MILLISECONDS, _READING = "asked", "milliseconds", "reading"


@dataclass(frozen=True)
class ImageOrder:
    """All images but the test part, in an order in which every start has each class in proportion.

    Attributes:
        data: The images.
        numbers: In this order, which image of the training part, or beyond
            its end of the validation part, int64, `(images,)`.
        seed: Number that fixed it.
    """

    data: ImageData
    numbers: np.ndarray = field(repr=False)
    seed: int = 0

    @classmethod
    def of(cls, data: ImageData, *, seed: int = 0) -> ImageOrder:
        """The order of some images, drawn by a seed."""
        labels = np.concatenate([data.labels(part) for part in parts_of(data)])
        draws = np.random.default_rng(seed)
        place = np.empty(len(labels))
        for label in np.unique(labels):
            of_class = draws.permutation(np.flatnonzero(labels == label))
            place[of_class] = (np.arange(len(of_class)) + draws.random()) / len(of_class)
        return cls(data, np.argsort(place, kind="stable"), seed)

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def is_training(self) -> np.ndarray:
        """Whether each image, in this order, is of the training part."""
        return self.numbers < self.data.sizes["train"]


@dataclass(frozen=True)
class BlockRows:
    """Features of images behind each block.

    Attributes:
        blocks: Block name -> `(images, features)`, input side first; the last
            are what enters the head.
        labels: Class of each image, int64, `(images,)`.
        positions: Where in the order each image is; broken ones are missing.
    """

    blocks: Mapping[str, np.ndarray] = field(repr=False)
    labels: np.ndarray = field(repr=False)
    positions: np.ndarray = field(repr=False)

    @property
    def features(self) -> np.ndarray:
        """What enters the head."""
        return list(self.blocks.values())[-1]

    def first(self, count: int) -> BlockRows:
        """Those of the first so many images of the order."""
        return self.where(self.positions < count)

    def where(self, chosen: np.ndarray) -> BlockRows:
        """Some of the rows, by a mask."""
        blocks = {name: rows[chosen] for name, rows in self.blocks.items()}
        return BlockRows(blocks, self.labels[chosen], self.positions[chosen])


class Entry:
    """A backbone at an image size.

    Args:
        candidate: The backbone and its weights.
        image_size: Height and width, pixels.
        order: The images; they are brought to this size here.
        files: Where features are kept; None: nowhere.

    Attributes:
        milliseconds: Per image, through the backbone; known after `measure`.
        num_parameters: Of the classifier, likewise.
        num_bytes: Of its weights in a file, likewise.
        width: Features that enter the head, likewise.
        known: Images of the order, from its start, whose features are there.
        not_kept: Why features are not on disk, in one line; empty where they are.

    Raises:
        WeightsError: If the weights cannot be had.
        ValueError: If the backbone cannot take the size.
    """

    def __init__(
        self, candidate: Candidate, image_size: int, order: ImageOrder, files: FeatureFiles | None
    ) -> None:
        self.candidate, self.image_size = candidate, image_size
        self.order = order
        # Random weights are not met again: their features would only take the room of others.
        self._files = None if candidate.weights.lower() == "none" else files
        self._kept: KeptFeatures | None = None
        self._is_on_disk = False
        self.known, self.not_kept = 0, ""
        self.model: Any = self._build()
        self.data = at_size(order.data, image_size, self.model.resizing)
        self._digest = _digest(self.model)
        self._key = self._key_of_rows()
        self.num_parameters = sum(block.num_parameters for block in self.model.blocks)
        self.num_bytes = sum(_bytes_of(weight) for weight in self.model.weights)
        self.milliseconds = self.reading_seconds = 0.0
        self.width = 0

    @property
    def label(self) -> str:
        """Spec and image size."""
        return f"{self.candidate.spec} at {self.image_size}"

    @property
    def seconds_per_image(self) -> float:
        """What an image takes that is not known: reading it, and the backbone."""
        return self.reading_seconds + self.milliseconds / 1000

    def release(self) -> None:
        """Let the model go, and features that are on disk, until they are needed again.

        A model whose weights may be drawn at random would not come back as it was: it stays.
        """
        if not self._may_be_random:
            self.model = None
        self.__dict__.pop("_means", None)
        if self._is_on_disk:
            self._kept = None

    def opened(self) -> Any:
        """The model, built anew where it was released.

        Raises:
            ValueError: If its weights have changed since.
        """
        if self.model is None:
            model = self._build()
            if _digest(model) != self._digest:
                raise ValueError(
                    f"`weights` of {self.candidate.spec} must stay as they are while this runs. "
                    f"Received: {self.candidate.weights}, whose file has changed. Run it again."
                )
            self.model = model
        return self.model

    @property
    def _may_be_random(self) -> bool:
        return self.candidate.weights.lower() == "none" or self.candidate.spec.startswith("module:")

    def measure(self) -> None:
        """Find what an image costs: from the file of an earlier time, else from a first batch."""
        self._read_kept()
        if self._kept is not None:
            self.milliseconds = float(self._kept.about[_MILLISECONDS])
            self.reading_seconds = float(self._kept.about[_READING])
            self.width = self._rows(self._kept).features.shape[1]
            return
        start = time.perf_counter()
        batch = next(iter(self._batches(0, min(BATCH_SIZE, len(self.order)), workers=False)))
        count = len(batch[1])
        self.reading_seconds = (time.perf_counter() - start) / count
        means = self._means(batch[2])  # the first call folds and warms up
        self.width = list(means.values())[-1].shape[1]
        times = [_seconds(lambda: self._means(batch[2])) for _ in range(_TIMED)]
        self.milliseconds = 1000 * min(times) / count

    def rows(self, count: int) -> BlockRows:
        """The features of the first so many images, computed where they are not known."""
        self._read_kept()
        if self._kept is None or self.known < count:
            self._compute(self.known, count)
        if self._kept is None:
            raise ValueError(f"`count` must be 1 or more. Received: count={count}.")
        return self._rows(self._kept).first(count)

    def _read_kept(self) -> None:
        """Read what is on disk, where nothing is in memory; another process may have removed it."""
        if self._kept is None and self._files is not None:
            self._kept = self._files.get(self._key)
            self._is_on_disk = self._kept is not None
        self.known = 0 if self._kept is None else int(self._kept.about[_ASKED])

    def _compute(self, start: int, stop: int) -> None:
        columns: dict[str, list[np.ndarray]] = {_POSITIONS: [], _LABELS: []}
        speeds = []
        for positions, labels, images in self._batches(start, stop):
            began = time.perf_counter()
            found = self._means(images)
            speeds.append((time.perf_counter() - began) / len(labels))
            columns[_POSITIONS].append(positions)
            columns[_LABELS].append(labels)
            for name, values in found.items():
                columns.setdefault(_BLOCK + name, []).append(values)
        arrays = {name: np.concatenate(parts) for name, parts in columns.items()}
        if self._kept is not None:
            arrays = {
                name: np.concatenate([self._kept.arrays[name], rows])
                for name, rows in arrays.items()
            }
        order = np.argsort(arrays[_POSITIONS], kind="stable")
        self.milliseconds = 1000 * float(np.median(speeds))
        about = {
            _ASKED: stop,
            _MILLISECONDS: self.milliseconds,
            _READING: self.reading_seconds,
            "blocks": list(self.opened().block_names[:-1]),
        }
        self._kept = KeptFeatures({name: rows[order] for name, rows in arrays.items()}, about)
        self.known = stop
        self._is_on_disk = False
        if self._files is None:
            return
        try:
            self._is_on_disk = self._files.put(self._key, self._kept)
            self.not_kept = "" if self._is_on_disk else "they alone are above the limit"
        except OSError as error:  # a full disk: this search has them in memory
            self.not_kept = sentence(error)

    def _rows(self, kept: KeptFeatures) -> BlockRows:
        blocks = {name: kept.arrays[_BLOCK + name] for name in kept.about["blocks"]}
        return BlockRows(blocks, kept.arrays[_LABELS], kept.arrays[_POSITIONS])

    def _batches(self, start: int, stop: int, *, workers: bool = True) -> Any:
        """Positions, labels and pixels, part by part of the data."""
        numbers = self.order.numbers[start:stop]
        offset = 0
        for part in parts_of(self.data):
            size = self.data.sizes[part]
            mine = np.flatnonzero((numbers >= offset) & (numbers < offset + size))
            chosen = numbers[mine] - offset
            place = np.empty(size, np.int64)
            place[chosen] = mine + start
            offset += size
            if not len(chosen):
                continue
            many = workers and len(chosen) > _MANY_BATCHES * BATCH_SIZE
            loader = some_images(
                self.data,
                part,
                chosen.tolist(),
                batch_size=BATCH_SIZE,
                num_workers=self.data.train.num_workers if many else 0,
            )
            for which, (images, labels) in numbered(loader):
                yield place[which], np.asarray(labels), np.asarray(images)

    @functools.cached_property
    def _means(self) -> Callable[[Any], dict[str, np.ndarray]]:
        return block_means(self.opened())

    def _build(self) -> ImageClassifier:
        built = registry.build(
            self.candidate.spec, weights=self.candidate.weights, image_size=self.image_size
        )
        data = self.order.data
        return ImageClassifier(
            built,
            num_classes=data.num_classes,
            class_names=data.class_names,
            resize=data.settings.resize,
            batch_norm=FROZEN,
        )

    def _key_of_rows(self) -> tuple[str, ...]:
        return (
            self.candidate.spec,
            self._digest,
            repr(self.model.preprocessing),
            f"{keras.backend.backend()} {keras.config.dtype_policy().name}",
            f"order {self.order.seed}",
            # Size, resizing and background are among what these are digests of.
            *(self.data.fingerprint(part) for part in parts_of(self.data)),
        )


def parts_of(data: ImageData) -> tuple[Part, ...]:
    """The parts that are used: never the test."""
    return ("train", "validation") if data.validation is not None else ("train",)


def _digest(model: Any) -> str:
    """A digest of the backbone's weights and statistics."""
    names = model.block_names[:-1]
    return weights_digest([weight for name in names for weight in model.get_layer(name).weights])


def _bytes_of(weight: Any) -> int:
    return (
        int(np.prod(weight.shape))
        * np.dtype(keras.backend.standardize_dtype(weight.dtype)).itemsize
    )


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
