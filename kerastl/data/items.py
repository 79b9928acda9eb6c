"""Images with labels, before they are split and batched."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from kerastl.data.decoding import decoded
from kerastl.data.digests import bytes_digest, file_digest, files_fingerprint
from kerastl.data.resizing import ImageSettings
from kerastl.data.understanding import Understanding
from kerastl.internals.printable import printable


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

    def key(self, index: int) -> str:
        """What tells it from the others of its source, wherever that is."""

    def digest(self, index: int) -> str:
        """A digest of its content, "" where none was taken."""

    def content(self, index: int) -> str:
        """Its digest, or what is known of its content without one."""

    def read_digest(self, index: int) -> str:
        """A digest of its content, which is read for it; "" where there is none."""

    def fingerprint(self, indices: np.ndarray) -> str:
        """Something that changes when one of these images does."""


@dataclass(frozen=True)
class FileItems:
    """Image files.

    Attributes:
        paths: One path per image.
        labels: Class of each image, int64, `(images,)`.
        groups: What each image is of, such as a patient, text, `(images,)`; or None.
        root: The folder that keys are relative to, or None: paths as they are.
        digests: Of each file's content, text, `(images,)`; or None: not taken.
    """

    paths: Sequence[Path]
    labels: np.ndarray
    groups: np.ndarray | None = None
    root: Path | None = None
    digests: np.ndarray | None = None

    def some(self, numbers: Sequence[int] | np.ndarray) -> FileItems:
        """Some of the files."""
        chosen = np.asarray(numbers, np.int64)
        return replace(
            self,
            paths=tuple(self.paths[int(number)] for number in chosen),
            labels=self.labels[chosen],
            groups=None if self.groups is None else self.groups[chosen],
            digests=None if self.digests is None else self.digests[chosen],
        )

    @property
    def can_fork(self) -> bool:
        """Yes."""
        return True

    def encoded(self, index: int) -> Path:
        """The file."""
        return self.paths[index]

    def image(self, index: int, settings: ImageSettings) -> Image.Image:
        """The image at `index`, of mode "RGB", no smaller than the settings need it."""
        return decoded(self.paths[index], background=settings.background, settings=settings)

    def name(self, index: int) -> str:
        r"""Its path, with a byte that is no UTF-8 as `\xNN`."""
        return printable(self.paths[index])

    def key(self, index: int) -> str:
        """Its path below the root, with slashes and composed letters on every system."""
        path = self.paths[index]
        if self.root is not None and path.is_relative_to(self.root):
            path = path.relative_to(self.root)
        return unicodedata.normalize("NFC", path.as_posix())

    def digest(self, index: int) -> str:
        """Of the file's bytes."""
        return "" if self.digests is None else str(self.digests[index])

    def content(self, index: int) -> str:
        """The digest, or the file's size in bytes."""
        if digest := self.digest(index):
            return digest
        try:
            return str(os.stat(self.paths[index]).st_size)
        except OSError:
            return "gone"

    def read_digest(self, index: int) -> str:
        """Of the file's bytes."""
        return file_digest(self.paths[index])

    def fingerprint(self, indices: np.ndarray) -> str:
        """A digest of path, size and time of change of the files; none is opened.

        A file that is gone is an error, or left out, only when it is read.
        """
        return files_fingerprint(self.paths[index] for index in indices)


@dataclass(frozen=True)
class ArrayItems:
    """Images in memory.

    Attributes:
        images: Pixels 0-255, uint8, `(images, height, width, 3)`.
        labels: Class of each image, int64, `(images,)`.
        groups: What each image is of, text, `(images,)`; or None.
        digests: Of each image's pixels, text, `(images,)`; or None: not taken.
    """

    images: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None = None
    digests: np.ndarray | None = None

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

    def key(self, index: int) -> str:
        """Its number."""
        return str(index)

    def digest(self, index: int) -> str:
        """Of its pixels."""
        return "" if self.digests is None else str(self.digests[index])

    def content(self, index: int) -> str:
        """A digest of its pixels."""
        return self.digest(index) or self.read_digest(index)

    def read_digest(self, index: int) -> str:
        """Of its pixels."""
        return bytes_digest(self.images[index].tobytes())

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

    def key(self, index: int) -> str:
        """What tells it from the others of its source."""
        part, number = self._place(index)
        return part.key(number)

    def digest(self, index: int) -> str:
        """Of its content, where it was taken."""
        part, number = self._place(index)
        return part.digest(number)

    def content(self, index: int) -> str:
        """What is known of its content."""
        part, number = self._place(index)
        return part.content(number)

    def read_digest(self, index: int) -> str:
        """Of its content, which is read for it."""
        part, number = self._place(index)
        return part.read_digest(number)

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
