"""Images that are records of larger files, such as tar shards and Arrow tables."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from kerastl.data.decoding import decoded
from kerastl.data.digests import bytes_digest, file_digest
from kerastl.data.items import FileItems
from kerastl.data.resizing import ImageSettings


class Records(Protocol):
    """Encoded images by number, each read by itself and none kept in memory."""

    def encoded(self, number: int) -> Path | bytes:
        """The content of an image file, or the file."""

    def size(self, number: int) -> int:
        """Bytes of its content, which is not read for it."""

    def name(self, number: int) -> str:
        """What to call the record in an error."""

    def key(self, number: int) -> str:
        """What tells it from the others of its source, wherever that is."""

    def fingerprint(self, numbers: np.ndarray) -> str:
        """Something that changes when one of these records does; none is read for it."""


@dataclass(frozen=True)
class StoredItems:
    """Some of the records of a source, with labels.

    Attributes:
        records: Where the images are.
        numbers: Which of them, int64, `(images,)`.
        labels: Class of each image, int64, `(images,)`.
        groups: What each image is of, such as a patient, text, `(images,)`; or None.
        digests: Of each image's content, text, `(images,)`; or None: not taken.
    """

    records: Records
    numbers: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None = None
    digests: np.ndarray | None = None

    def some(self, numbers: Sequence[int] | np.ndarray) -> StoredItems:
        """Some of the images."""
        chosen = np.asarray(numbers, np.int64)
        return replace(
            self,
            numbers=self.numbers[chosen],
            labels=self.labels[chosen],
            groups=None if self.groups is None else self.groups[chosen],
            digests=None if self.digests is None else self.digests[chosen],
        )

    @property
    def can_fork(self) -> bool:
        """Yes: records are read by place, from files that each process opens or maps."""
        return True

    def encoded(self, index: int) -> Path | bytes:
        """The content of an image file, or the file."""
        return self.records.encoded(int(self.numbers[index]))

    def image(self, index: int, settings: ImageSettings) -> Image.Image:
        """The image at `index`, of mode "RGB", no smaller than the settings need it."""
        return decoded(self.encoded(index), background=settings.background, settings=settings)

    def name(self, index: int) -> str:
        """What its source calls it."""
        return self.records.name(int(self.numbers[index]))

    def key(self, index: int) -> str:
        """What tells it from the others of its source."""
        return self.records.key(int(self.numbers[index]))

    def digest(self, index: int) -> str:
        """Of its content, where it was taken."""
        return "" if self.digests is None else str(self.digests[index])

    def content(self, index: int) -> str:
        """The digest, or the size of its content in bytes."""
        if digest := self.digest(index):
            return digest
        try:
            return str(self.records.size(int(self.numbers[index])))
        except OSError:
            return "gone"

    def read_digest(self, index: int) -> str:
        """Of its content, the same as of a file with that content; "" where it cannot be read."""
        try:
            content = self.encoded(index)
        except OSError:
            return ""
        return file_digest(content) if isinstance(content, Path) else bytes_digest(content)

    def fingerprint(self, indices: np.ndarray) -> str:
        """Of the files that hold these images, and their places."""
        numbers = self.numbers[indices]
        digest = hashlib.blake2b(self.records.fingerprint(numbers).encode(), digest_size=16)
        digest.update(numbers.tobytes())
        return digest.hexdigest()


EncodedItems = FileItems | StoredItems
"""Images with the content of a file each, which can be checked, digested and chosen from."""
