"""Digests of files that are too many to be read up front: each is taken when it is first read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from kerastl.data.digests import DIGEST_SIZE
from kerastl.data.items import ImageItems


class Contents:
    """Digests of the images of a part, shared with the processes that read them.

    Args:
        num_images: How many images there are.
    """

    def __init__(self, num_images: int) -> None:
        shape = (num_images, DIGEST_SIZE)
        self._taken = torch.zeros(shape, dtype=torch.uint8).share_memory_()
        self._changed = torch.zeros(num_images, dtype=torch.bool).share_memory_()
        self._expected: torch.Tensor | None = None

    @property
    def changed(self) -> list[int]:
        """Numbers of the images that are not what was expected."""
        return [int(number) for number in torch.nonzero(self._changed)]

    def digest(self, number: int) -> str:
        """The digest of an image in hexadecimal; "" where it was not read yet."""
        taken = self._taken[number]
        return bytes(taken.tolist()).hex() if taken.any() else ""

    def expect(self, keys: Sequence[str], digests: Mapping[str, str]) -> None:
        """Say what some images were: another content will be an error when it is read.

        Args:
            keys: What each image is called, `(images,)`.
            digests: By key, in hexadecimal.
        """
        expected = torch.zeros_like(self._taken)
        for number, key in enumerate(keys):
            if digest := digests.get(key, ""):
                expected[number] = _tensor(digest)
        self._expected = expected.share_memory_()

    def take(self, number: int, items: ImageItems, index: int) -> None:
        """Note the content of an image that was just read, the first time.

        Args:
            number: Its number in the part.
            items: Where it is.
            index: Its number there.

        Raises:
            ValueError: If it is not what was expected.
        """
        if self._taken[number].any() or items.digest(index):
            return
        digest = items.read_digest(index)
        if not digest:
            return
        self._taken[number] = _tensor(digest)
        expected = None if self._expected is None else self._expected[number]
        if expected is not None and expected.any() and not expected.equal(self._taken[number]):
            self._changed[number] = True
            raise ValueError(f"{items.name(index)} has changed since the run began")


def _tensor(digest: str) -> torch.Tensor:
    return torch.frombuffer(bytearray.fromhex(digest), dtype=torch.uint8)
