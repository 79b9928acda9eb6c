"""Look a `.keras` archive through before Keras opens it: whole, bounded, and of itself alone."""

from __future__ import annotations

import json
import posixpath
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerastl.errors import DamagedFileError
from kerastl.internals.hdf5 import MOST_EXPANSION, allowed_bytes, check_hdf5, shapes

CONFIG, ABOUT, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"

_MOST_JSON = 2**25
_DEEPEST_JSON = 100
_LOCAL_HEADER = 30
_PIECE = 2**20
# Larger weights are looked through on the disk.
_IN_MEMORY = 2**28
_KNOWN_COMPRESSION = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_IS_ENCRYPTED = 0x1


@dataclass(frozen=True)
class Archive:
    """What is known of a `.keras` file before anything is built from it.

    Attributes:
        config: Of the model, as Keras wrote it.
        about: Which Keras wrote it, and when.
        shapes: Shape of every array of the weights, by its path.
        size: Of the weights in the file, bytes.
    """

    config: Mapping[str, Any]
    about: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    size: int


def looked_through(file: Path) -> Archive:
    """Read every byte of a `.keras` file once, and what it says of itself.

    Raises:
        DamagedFileError: If a checksum differs, an entry is missing, is named
            twice, lies over another or outside, or grows beyond bounds.
        PermissionError: If it may not be read.
    """
    try:
        return _looked_through(file)
    except (DamagedFileError, PermissionError):
        raise
    except RecursionError:
        raise damaged(file, "its JSON is nested too deep") from None
    except Exception as error:  # whatever zipfile, json and h5py make of broken bytes
        raise damaged(file, str(error).strip() or type(error).__name__) from error


def damaged(file: Path, reason: str) -> DamagedFileError:
    """The error for a file that is not what `model.save` wrote."""
    return DamagedFileError(
        f"{file} is not a .keras file, or it is damaged ({' '.join(reason.split())[:300]}). "
        "Name a file that `model.save` wrote, or get it anew."
    )


def _looked_through(file: Path) -> Archive:
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        _check_directory(entries, file)
        for entry in entries:
            if entry.filename != WEIGHTS:
                _read_through(archive, entry)
        config, about = (_json(archive, name, file) for name in (CONFIG, ABOUT))
        weights = archive.getinfo(WEIGHTS)
        return Archive(config, about, _shapes(archive, weights, file), _size_in_file(weights, file))


def _check_directory(entries: Sequence[zipfile.ZipInfo], file: Path) -> None:
    size = file.stat().st_size
    names = [entry.filename for entry in entries]
    if len(set(names)) < len(names):
        raise damaged(file, "an entry is there twice")
    for entry in entries:
        # Python takes a zero byte for the end of a name, and turns backslashes on Windows.
        plain = posixpath.normpath(entry.orig_filename.replace("\\", "/"))
        is_outside = plain.startswith(("/", "..")) or ":" in plain or "\0" in plain
        if is_outside or plain != entry.filename.rstrip("/"):
            raise damaged(file, f"an entry is named {entry.orig_filename!r}")
        if entry.compress_type not in _KNOWN_COMPRESSION or entry.flag_bits & _IS_ENCRYPTED:
            raise damaged(file, f"{entry.filename} is encrypted, or compressed in another way")
        if entry.external_attr >> 28 == 0xA:
            raise damaged(file, f"{entry.filename} is a link")
    end = 0
    for entry in sorted(entries, key=lambda each: each.header_offset):
        if entry.header_offset < end:
            raise damaged(file, f"{entry.filename} lies over another entry")
        end = entry.header_offset + _LOCAL_HEADER + len(entry.filename) + entry.compress_size
    if end > size:
        raise damaged(file, "an entry lies outside the file")
    total = sum(entry.file_size for entry in entries)
    if total > allowed_bytes(size):
        raise damaged(
            file, f"it holds {total / 1e6:,.0f} MB, more than {MOST_EXPANSION} times its size"
        )


def _read_through(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Read an entry to its end, where its checksum is compared."""
    with archive.open(entry) as opened:
        while opened.read(_PIECE):
            pass


def _json(archive: zipfile.ZipFile, name: str, file: Path) -> dict[str, Any]:
    if archive.getinfo(name).file_size > _MOST_JSON:
        raise damaged(file, f"{name} has more than {_MOST_JSON / 1e6:,.0f} MB")
    content = json.loads(archive.read(name))
    if not isinstance(content, dict):
        raise damaged(file, f"{name} must be an object")
    level: list[Any] = [content]
    for _ in range(_DEEPEST_JSON):
        level = [inner for each in level for inner in _inside(each)]
    if level:
        raise damaged(file, f"{name} is nested too deep")
    return content


def _inside(value: Any) -> Sequence[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else ()


def _shapes(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, file: Path
) -> dict[str, tuple[int, ...]]:
    import h5py

    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as copy:
        with archive.open(entry) as opened:
            while piece := opened.read(_PIECE):
                copy.write(piece)
        copy.seek(0)
        with h5py.File(copy, "r") as weights:
            check_hdf5(weights, f"The weights in {file}", size=entry.file_size)
            return shapes(weights, str(file))


def _size_in_file(entry: zipfile.ZipInfo, file: Path) -> int:
    return min(entry.compress_size, entry.file_size, file.stat().st_size)
