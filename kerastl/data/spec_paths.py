"""The file or folder in a data spec: relative to a file that names it, or its name alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path, PurePath

from kerastl.data.shard_patterns import folder_of

_WITH_PATHS = ("folder", "csv", "wds", "hf")
_WITH_OPTIONS = ("csv", "wds", "hf")


def path_of(spec: str) -> Path | None:
    """The file or folder that a data spec names, or None where it names neither.

    Of a pattern it is the folder that the pattern begins with.

    Example:

    >>> path_of("csv:photos/table.csv?label=kind").as_posix(), path_of("digits")
    ('photos/table.csv', None)
    """
    found: list[Path] = []

    def take(path: str) -> str:
        given = Path(path).expanduser()
        is_pattern = spec.startswith("wds:") or not set("*[{").isdisjoint(path)
        found.append(folder_of(str(given)) if is_pattern else given)
        return path

    _with_path(spec, take)
    return found[0] if found else None


def published(spec: str) -> str:
    """A data spec without the folders of this machine.

    Example:

    >>> published("folder:/home/me/flowers/"), published("tfds:tf_flowers")
    ('folder:flowers', 'tfds:tf_flowers')
    >>> published("csv:/home/me/photos.csv?label=kind")
    'csv:photos.csv?label=kind'
    """
    return _with_path(spec, lambda path: PurePath(path).name or path)


def relative_to(spec: str, folder: Path) -> str:
    """A data spec as a file in a folder has it: its path from there.

    Example:

    >>> relative_to("folder:/home/me/photos", Path("/home/me/runs/first"))
    'folder:../../photos'
    """

    return _with_path(spec, lambda path: _marked(spec, relative_path(path, folder)))


def relative_path(path: str, folder: Path) -> str:
    """A path from a folder, with slashes on every system; whole on another drive of Windows."""
    try:
        found = os.path.relpath(Path(path).expanduser(), folder)
    except ValueError:
        found = os.path.abspath(Path(path).expanduser())
    return Path(found).as_posix()


def resolved(spec: str, folder: Path) -> str:
    """A data spec as a file in a folder has it, for this process.

    Example:

    >>> resolved("folder:../../photos", Path("runs/first"))
    'folder:photos'
    """
    return _with_path(
        spec, lambda path: _marked(spec, os.path.normpath(folder / Path(path).expanduser()))
    )


def with_path(spec: str, path: Path) -> str:
    """A data spec with another file or folder.

    Example:

    >>> with_path("csv:/home/me/table.csv?label=kind", Path("table.csv"))
    'csv:table.csv?label=kind'
    """
    return _with_path(spec, lambda _: str(path))


def same_data(first: str | None, second: str | None) -> bool:
    """Whether two specs name the same data, however their paths are written.

    Example:

    >>> same_data("folder:photos", "folder:./photos/"), same_data("folder:photos", "digits")
    (True, False)
    """
    if first is None or second is None:
        return first is second
    one, other = (
        _with_path(spec, lambda path: os.path.realpath(Path(path).expanduser()))
        for spec in (first, second)
    )
    return one == other


def _with_path(spec: str, change: Callable[[str], str]) -> str:
    """The spec with another path; whatever names none, or is empty, as it is."""
    source, colon, rest = spec.partition(":")
    path, mark, options = rest.partition("?") if source in _WITH_OPTIONS else (rest, "", "")
    if source not in _WITH_PATHS or not path or (source == "hf" and not is_local(path)):
        return spec
    return f"{source}{colon}{change(path)}{mark}{options}"


def is_local(name: str) -> bool:
    """Whether what an `hf` spec names is a path, and no set of the Hugging Face Hub.

    Names there are one or two words, so a path begins as paths do, is a
    pattern, has more pieces, or is there.

    Example:

    >>> [is_local(name) for name in ("./photos", "/data/*.parquet", "beans", "me/photos")]
    [True, True, False, False]
    """
    path = Path(name).expanduser()
    begins = name.startswith((".", "~")) or path.is_absolute()
    return begins or "*" in name or len(PurePath(name).parts) > 2 or path.exists()


def _marked(spec: str, path: str) -> str:
    """A path that an `hf` spec shows to be one, wherever it is read."""
    if not spec.startswith("hf:") or path.startswith(".") or Path(path).is_absolute():
        return path
    return f"./{path}"
