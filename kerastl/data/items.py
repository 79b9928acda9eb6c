"""Images with labels, before they are split and batched."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from kerastl.data.decoding import decoded
from kerastl.data.resizing import ImageSettings
from kerastl.data.understanding import Understanding
from kerastl.internals.printable import printable

# File systems hold names of any bytes.
_ANY_NAME = ("utf-8", "surrogateescape")


class ImageItems(Protocol):
    """A sequence of images with labels, decoded one at a time."""

    @property
    def labels(self) -> np.ndarray:
        """Class of each image, int64, `(images,)`."""

    @property
    def can_fork(self) -> bool:
        """Whether the images can still be read after the process was forked."""

    def image(self, index: int, settings: ImageSettings) -> Image.Image:
        """The image at `index`, of mode "RGB", no smaller than the settings need it."""

    def name(self, index: int) -> str:
        """What to call the image in an error."""

    def fingerprint(self, indices: np.ndarray) -> str:
        """Something that changes when one of these images does."""


@dataclass(frozen=True)
class FileItems:
    """Image files.

    Attributes:
        paths: One path per image.
        labels: Class of each image, int64, `(images,)`.
        groups: What each image is of, such as a patient, text, `(images,)`; or None.
    """

    paths: Sequence[Path]
    labels: np.ndarray
    groups: np.ndarray | None = None

    def some(self, numbers: Sequence[int] | np.ndarray) -> FileItems:
        """Some of the files."""
        chosen = np.asarray(numbers, np.int64)
        groups = None if self.groups is None else self.groups[chosen]
        return FileItems(
            tuple(self.paths[int(number)] for number in chosen), self.labels[chosen], groups
        )

    @property
    def can_fork(self) -> bool:
        """Yes."""
        return True

    def image(self, index: int, settings: ImageSettings) -> Image.Image:
        """The image at `index`, of mode "RGB", no smaller than the settings need it."""
        return decoded(self.paths[index], background=settings.background, settings=settings)

    def name(self, index: int) -> str:
        r"""Its path, with a byte that is no UTF-8 as `\xNN`."""
        return printable(self.paths[index])

    def fingerprint(self, indices: np.ndarray) -> str:
        """A digest of path, size and time of change of the files; none is opened.

        A file that is gone is an error, or left out, only when it is read.
        """
        digest = hashlib.blake2b(digest_size=16)
        for index in indices:
            path = self.paths[index]
            try:
                about = os.stat(path)
                digest.update(f"{path} {about.st_size} {about.st_mtime_ns}\n".encode(*_ANY_NAME))
            except FileNotFoundError:
                digest.update(f"{path} is gone\n".encode(*_ANY_NAME))
        return digest.hexdigest()


@dataclass(frozen=True)
class ArrayItems:
    """Images in memory.

    Attributes:
        images: Pixels 0-255, uint8, `(images, height, width, 3)`.
        labels: Class of each image, int64, `(images,)`.
    """

    images: np.ndarray
    labels: np.ndarray

    @property
    def can_fork(self) -> bool:
        """Yes."""
        return True

    def image(self, index: int, settings: ImageSettings) -> Image.Image:
        """The image at `index`, of mode "RGB"; arrays have no transparency."""
        return Image.fromarray(self.images[index])

    def name(self, index: int) -> str:
        """Its number."""
        return f"image {index}"

    def fingerprint(self, indices: np.ndarray) -> str:
        """A digest of every pixel."""
        digest = hashlib.blake2b(digest_size=16)
        for index in indices:
            digest.update(self.images[index].tobytes())
        return digest.hexdigest()


def groups_of(items: ImageItems) -> np.ndarray | None:
    """What each image is of, where the source says it: these are never parted."""
    found: np.ndarray | None = getattr(items, "groups", None)
    return found


class JoinedItems:
    """The images of two sources, one after the other.

    Args:
        first: The first ones.
        second: Those after them.

    Attributes:
        labels: Of all.
        groups: Of all, where both have them, or None.
        start: Number of the first image of the second source.
    """

    def __init__(self, first: ImageItems, second: ImageItems) -> None:
        self._parts = (first, second)
        self.start = len(first.labels)
        self.labels = np.concatenate([first.labels, second.labels])
        groups = [found for part in self._parts if (found := groups_of(part)) is not None]
        self.groups = np.concatenate(groups) if len(groups) == len(self._parts) else None

    @property
    def can_fork(self) -> bool:
        """Whether both can."""
        return all(part.can_fork for part in self._parts)

    def image(self, index: int, settings: ImageSettings) -> Image.Image:
        """The image at `index`, of mode "RGB", no smaller than the settings need it."""
        part, number = self._place(index)
        return part.image(number, settings)

    def name(self, index: int) -> str:
        """What its source calls it."""
        part, number = self._place(index)
        return part.name(number)

    def fingerprint(self, indices: np.ndarray) -> str:
        """Of both sources' images among these."""
        first, second = self._parts
        of_second = indices >= self.start
        digests = (
            first.fingerprint(indices[~of_second]),
            second.fingerprint(indices[of_second] - self.start),
        )
        return " ".join(digests)

    def _place(self, index: int) -> tuple[ImageItems, int]:
        is_second = index >= self.start
        return self._parts[is_second], index - self.start * is_second


@dataclass(frozen=True)
class BrokenImage:
    """An image file that cannot be decoded.

    Attributes:
        path: The file.
        reason: Why not.
    """

    path: Path
    reason: str


@dataclass(frozen=True)
class SourceData:
    """What a source gives: its images, in the parts that it has itself.

    Attributes:
        parts: By "train", "validation" and "test". A source without parts of
            its own has only "train".
        class_names: Name of each class, in the order of the labels.
        understanding: Where the parts came from, and what was left out.
    """

    parts: Mapping[str, ImageItems]
    class_names: tuple[str, ...]
    understanding: Understanding = field(default=Understanding())
