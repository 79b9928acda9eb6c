"""Find image files."""

from __future__ import annotations

import glob
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from kerastl.data.decoding import IMAGE_SUFFIXES

_KNOWN_FORMATS = ", ".join(suffix.removeprefix(".") for suffix in IMAGE_SUFFIXES)


def is_image_file(path: Path) -> bool:
    """Whether the name ends as an image's does; the file is not opened."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def sorting_name(path: Path, folder: Path) -> str:
    """The path below `folder`, the same on every file system.

    File systems differ in the order in which they list files, in the
    separator, and in how they compose accented letters.
    """
    return unicodedata.normalize("NFC", path.relative_to(folder).as_posix())


def images_below(folder: Path) -> list[Path]:
    """Every image file below a folder, however deep, in an order that no machine changes.

    Hidden files and folders are left out; links are followed, but not in circles.
    """
    found: list[Path] = []
    seen: set[str] = set()
    for directory, subfolders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(directory)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(name for name in subfolders if not is_hidden(name))
        found += [path for name in names if is_image_file(path := Path(directory, name))]
    return sorted(found, key=lambda path: sorting_name(path, folder))


def is_hidden(name: str) -> bool:
    """Whether a folder is none of the user's own, such as those that archives add."""
    return name.startswith(".") or name == "__MACOSX"


def image_files(patterns: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """The image files that paths, folders and patterns stand for.

    Args:
        patterns: Files, folders (searched however deep), or glob patterns
            such as `photos/**/*.jpg`.

    Returns:
        The files in the order of the patterns, each once.

    Raises:
        ValueError: If a file does not exist or is no image, or a folder or a
            pattern holds no image.
    """
    if isinstance(patterns, str | os.PathLike):
        patterns = [patterns]
    found: dict[Path, None] = {}
    for pattern in patterns:
        found.update(dict.fromkeys(_files_of(os.fspath(pattern))))
    return list(found)


def _files_of(pattern: str) -> list[Path]:
    path = Path(pattern).expanduser()
    if path.is_dir():
        files = images_below(path)
        if not files:
            raise ValueError(
                f"The folder {pattern!r} holds no image. Known formats: {_KNOWN_FORMATS}."
            )
        return files
    if path.exists():
        if not is_image_file(path):
            raise ValueError(
                f"The file {pattern!r} has no known image format. Known formats: {_KNOWN_FORMATS}."
            )
        return [path]
    if not glob.has_magic(pattern):
        raise ValueError(f"The file {pattern!r} does not exist.")
    matches = map(Path, sorted(glob.glob(str(path), recursive=True)))
    files = [match for match in matches if match.is_file() and is_image_file(match)]
    if not files:
        raise ValueError(f"No image matches the pattern {pattern!r}.")
    return files
