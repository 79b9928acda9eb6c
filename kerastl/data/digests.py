"""What tells that an image is the same as another, whatever its name: a digest of its bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

DIGEST_SIZE = 16
"""Bytes of a digest: BLAKE2b of 128 bits."""

_PIECE = 2**20
_MOST_THREADS = 8


def bytes_digest(content: bytes | memoryview) -> str:
    """The digest of some bytes, in hexadecimal."""
    return hashlib.blake2b(content, digest_size=DIGEST_SIZE).hexdigest()


def file_digest(path: str | os.PathLike[str]) -> str:
    """The digest of a file's whole content, in hexadecimal; "" where it cannot be read."""
    digest = hashlib.blake2b(digest_size=DIGEST_SIZE)
    try:
        # Anything else than a file, such as a named pipe, might never give an end.
        if not Path(path).is_file():
            return ""
        with open(path, "rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    except OSError:
        return ""
    return digest.hexdigest()


def file_digests(paths: Sequence[Path]) -> np.ndarray:
    """The digest of each file, text, `(files,)`; "" where one cannot be read."""
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as threads:
        return np.array(list(threads.map(file_digest, paths)), dtype=str)


def files_fingerprint(paths: Iterable[Path]) -> str:
    """A digest of path, size and time of change of files, in hexadecimal; none is opened.

    One that is gone has a digest of its own.
    """
    digest = hashlib.blake2b(digest_size=DIGEST_SIZE)
    for path in paths:
        try:
            found = os.stat(path)
            digest.update(os.fsencode(f"{path} {found.st_size} {found.st_mtime_ns}\n"))
        except FileNotFoundError:
            digest.update(os.fsencode(f"{path} is gone\n"))
    return digest.hexdigest()


def copies(digests: np.ndarray) -> list[np.ndarray]:
    """Numbers of images that are the same, two or more together, by their first.

    Args:
        digests: Of each image, text, `(images,)`; "" where it is not known.

    Example:

    >>> [numbers.tolist() for numbers in copies(np.array(["a", "b", "", "a", ""]))]
    [[0, 3]]
    """
    known = np.flatnonzero(digests != "")
    if not len(known):
        return []
    _, number, counts = np.unique(digests[known], return_inverse=True, return_counts=True)
    order = np.argsort(number, kind="stable")
    sets = np.split(known[order], np.cumsum(counts)[:-1])
    return sorted((found for found in sets if len(found) > 1), key=lambda found: int(found[0]))
