"""What a folder holds directly, and what to call it."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kerastl.data.files import is_folder, is_image_file
from kerastl.data.part_names import is_container
from kerastl.data.skipping import ROUND_LINK, why_no_class, why_not_in_class
from kerastl.internals.printable import printable

_MOST_LISTED = 6
_MOST_WRAPPED = 8  # Links may go round.


@dataclass(frozen=True)
class Inner:
    """What a folder holds directly.

    Attributes:
        folders: Those that may be classes or parts, sorted.
        has_images: Whether there are images among its files.
    """

    folders: tuple[Path, ...]
    has_images: bool

    @property
    def names(self) -> set[str]:
        """The names of the folders."""
        return {normal_name(path) for path in self.folders}


class Peeking:
    """Looks into folders, once into each, without a word on what is left out."""

    def __init__(self) -> None:
        self._known: dict[Path, Inner] = {}

    def __call__(self, folder: Path) -> Inner:
        if folder not in self._known:
            self._known[folder] = _inner(folder)
        return self._known[folder]


def _inner(folder: Path) -> Inner:
    folders, has_images = [], False
    for entry in listing(folder):
        if is_folder(entry):
            if why_not_a_class(entry) is None:
                folders.append(folder / entry.name)
        elif not has_images:
            has_images = is_image_file(Path(entry.path))
    return Inner(tuple(sorted(folders)), has_images)


def only_below(folder: Path, peek: Peeking) -> Path:
    """The only folder in a folder without images, the only one in that, and so on."""
    for _ in range(_MOST_WRAPPED):
        inner = peek(folder)
        if inner.has_images or len(inner.folders) != 1:
            break
        (folder,) = inner.folders
    return folder


def listing(folder: Path) -> list[os.DirEntry[str]]:
    """Everything that a folder holds directly, by name."""
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def why_not_a_class(entry: os.DirEntry[str]) -> str | None:
    """Why a folder is neither a class nor a part, or None.

    Args:
        entry: The folder, or a link to one.
    """
    if reason := why_no_class(entry.name):
        return reason
    if not entry.is_symlink():
        return None
    real, holder = os.path.realpath(entry.path), os.path.realpath(os.path.dirname(entry.path))
    holds_itself = holder == real or holder.startswith(real.rstrip(os.sep) + os.sep)
    return ROUND_LINK if holds_itself else None


def normal_name(path: Path) -> str:
    """The name of a folder, the same however the file system writes its letters."""
    return unicodedata.normalize("NFC", printable(path.name))


def like_classes(names: set[str]) -> set[str]:
    """The names of folders that are no `images` and none of what stands beside these."""
    return {
        name for name in names if not is_container(name) and why_not_in_class(name, names) is None
    }


def same_name(path: Path, other: Path) -> bool:
    """Whether two folders have one name, whatever its case."""
    name = normal_name(path).casefold()
    return any(
        normal_name(known).casefold() == name
        for known in (Path(os.path.abspath(other)), other.resolve())
    )


def listed(names: Sequence[str | Path]) -> str:
    """Names in a sentence, folders with a slash; of many the first."""
    shown = [
        f"{printable(name.name)}/" if isinstance(name, Path) else repr(name)
        for name in names[:_MOST_LISTED]
    ]
    more = f" and {len(names) - _MOST_LISTED:,} more" if len(names) > _MOST_LISTED else ""
    return ", ".join(shown) + more
