"""Features of images in the user's cache folder, so that asking again computes nothing."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kerastl.internals.user_cache import user_cache
from kerastl.internals.whole_files import UNFINISHED, remove_unfinished, write_whole

LIMIT_VARIABLE = "KERASTL_CACHE_LIMIT"
DEFAULT_LIMIT = 2_000_000_000
"""Bytes that all files may take together."""

# In every key: files of another form are never found, and go when their turn comes.
_FORMAT = "kerastl features 1"
_ENDING = ".safetensors"
_DIGEST = "digest"
_ABOUT = "about"
# A process that writes one file for longer than this, in seconds, is taken for dead.
_LONGEST_WRITE = 3600


@dataclass(frozen=True)
class KeptFeatures:
    """What one file holds.

    Attributes:
        arrays: By name, of any number of axes.
        about: Numbers and words beside them, as JSON can hold them.
    """

    arrays: Mapping[str, np.ndarray] = field(repr=False)
    about: Mapping[str, Any] = field(default_factory=dict)


class FeatureFiles:
    """Files of features by the digest of a key; those used least recently go first.

    Several processes may use one folder: a file is there whole or not at all,
    and one that another process has removed is a file that is not there.

    Args:
        folder: Where they are. None: that of `cache_folder`.
        limit: Bytes that they may take together. None: that of `cache_limit`.
    """

    def __init__(self, folder: Path | None = None, *, limit: int | None = None) -> None:
        self.folder = cache_folder() if folder is None else folder
        self.limit = cache_limit() if limit is None else limit

    def get(self, key: Sequence[str]) -> KeptFeatures | None:
        """What was kept under a key; None where nothing is, or a damaged file, which goes."""
        path = self._path(key)
        try:
            found = _read(path)
        except FileNotFoundError:
            return None
        except OSError:
            return None
        if found is None:
            path.unlink(missing_ok=True)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # used just now
        return found

    def put(self, key: Sequence[str], kept: KeptFeatures) -> bool:
        """Keep features under a key; False where they alone are above the limit.

        Raises:
            OSError: If the file cannot be written.
        """
        from safetensors.numpy import save_file

        arrays = {name: np.ascontiguousarray(array) for name, array in kept.arrays.items()}
        if sum(array.nbytes for array in arrays.values()) > self.limit:
            return False
        about = json.dumps(dict(kept.about))
        metadata = {_ABOUT: about, _DIGEST: _digest(arrays, about)}
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(key)
        write_whole(path, lambda file: save_file(arrays, file, metadata=metadata))
        self._make_room(path)
        return True

    @property
    def num_entries(self) -> int:
        """How many files there are."""
        return len(self._files())

    @property
    def num_bytes(self) -> int:
        """What they take together."""
        return sum(size for _, size, _ in self._files())

    def clear(self) -> int:
        """Remove every file of features, and nothing else; how many there were."""
        files = self._files()
        for path, _, _ in files:
            path.unlink(missing_ok=True)
        self._remove_abandoned()
        return len(files)

    def _path(self, key: Sequence[str]) -> Path:
        text = "\n".join((_FORMAT, *key))
        return self.folder / (hashlib.blake2b(text.encode(), digest_size=20).hexdigest() + _ENDING)

    def _files(self) -> list[tuple[Path, int, float]]:
        """Each file with its bytes and when it was last used, that of longest ago first."""
        found = []
        for path in self.folder.glob(f"*{_ENDING}"):
            # Another process may remove it in between.
            with contextlib.suppress(FileNotFoundError):
                about = path.stat()
                if not path.name.startswith(UNFINISHED):
                    found.append((path, about.st_size, about.st_mtime))
        return sorted(found, key=lambda file: file[2])

    def _make_room(self, newest: Path) -> None:
        self._remove_abandoned()
        files = self._files()
        total = sum(size for _, size, _ in files)
        for path, size, _ in files:
            if total <= self.limit:
                return
            if path != newest:
                path.unlink(missing_ok=True)
                total -= size

    def _remove_abandoned(self) -> None:
        """What a process that was killed has left; another may be writing its own just now."""
        remove_unfinished(self.folder, of_others_after=_LONGEST_WRITE)


def cache_folder() -> Path:
    """Where features are kept: below `KERASTL_CACHE`, else in the user's cache folder."""
    return user_cache("features")


def cache_limit() -> int:
    """Bytes that the files may take: `KERASTL_CACHE_LIMIT`, else `DEFAULT_LIMIT`.

    Raises:
        ValueError: If the variable is no number of bytes.
    """
    given = os.environ.get(LIMIT_VARIABLE)
    if not given:
        return DEFAULT_LIMIT
    if not given.isdecimal():
        raise ValueError(
            f"`{LIMIT_VARIABLE}` must be a whole number of bytes. Received: {given!r}. "
            f"Leave it out for {DEFAULT_LIMIT:,}."
        )
    return int(given)


def _read(path: Path) -> KeptFeatures | None:
    """What a file holds; None where it is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError:
        return None
    about = metadata.get(_ABOUT, "")
    if metadata.get(_DIGEST) != _digest(arrays, about):
        return None
    return KeptFeatures(arrays, json.loads(about))


def _digest(arrays: Mapping[str, np.ndarray], about: str) -> str:
    digest = hashlib.blake2b(about.encode(), digest_size=16)
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
