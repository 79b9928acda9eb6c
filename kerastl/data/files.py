"""Find image files."""

from __future__ import annotations

import glob
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kerastl.data.formats import KNOWN_FORMATS, is_image
from kerastl.data.skipping import (
    CLOSED,
    DANGLING,
    NOT_REGULAR,
    ROUND_LINK,
    why_no_file,
    why_no_image,
    why_not_in_class,
)
from kerastl.data.understanding import LeftOutLog


def is_image_file(path: Path) -> bool:
    """Whether this is a regular file and an image; its suffix tells, or else its content."""
    return os.path.isfile(path) and not why_no_file(path.name) and is_image(path)


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether this is a folder or a link to one; a link to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def is_file(entry: os.DirEntry[str]) -> bool:
    """Whether this is a regular file or a link to one; a link to itself is none."""
    try:
        return entry.is_file()
    except OSError:
        return False


def why_neither(path: str) -> str:
    """What is neither a folder nor a regular file."""
    return NOT_REGULAR if os.path.exists(path) else DANGLING


def images_below(folder: Path) -> list[Path]:
    """Every image file below a folder, however deep, in an order that no machine changes.

    Hidden files and folders are left out, and those of file servers and photo programs; links
    are followed, but no folder is read twice.
    """
    return images_of([folder], root=folder, left_out=LeftOutLog())[0] or []


def images_of(
    folders: Sequence[Path], *, root: Path, left_out: LeftOutLog
) -> list[list[Path] | None]:
    """The image files below each of some folders, each as `images_below` gives them.

    Links are followed once all that is there without them is read, and to no folder that was
    read already or that holds the link.

    Args:
        folders: Folders below the root.
        root: The folder of all.
        left_out: Takes what is left out.

    Returns:
        The files by folder; None for a folder that is a link to what is read already.
    """
    reader = _Reader(root, left_out)
    for number, folder in enumerate(folders):
        if reader.is_own(folder):
            reader.read(number, str(folder), os.path.realpath(folder))
        else:
            reader.links.append((number, str(folder)))
    refused: set[int] = set()
    for number, path in reader.links:  # it grows meanwhile
        if not reader.follow(number, path) and path == str(folders[number]):
            refused.add(number)
    return [
        None if number in refused else reader.files_of(number) for number in range(len(folders))
    ]


@dataclass
class _Reader:
    """Reads folders, none of them twice.

    Attributes:
        root: The folder of all.
        left_out: Takes what is left out.
        links: Links to folders that were met: the number of the folder, the path.
        found: A key to sort by and the path of each image, by number of the folder.
        seen: The real paths of the folders that were read, and of those that hold the root.
    """

    root: Path
    left_out: LeftOutLog
    links: list[tuple[int, str]] = field(default_factory=list)
    found: dict[int, list[tuple[str, str]]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        real = Path(os.path.realpath(self.root))
        self.seen |= {str(parent) for parent in real.parents}
        self._real_root = str(real)

    def is_own(self, folder: Path) -> bool:
        """Whether a folder is reached without a link from the root."""
        below = os.path.relpath(folder, self.root)
        return os.path.realpath(folder) == os.path.normpath(os.path.join(self._real_root, below))

    def follow(self, number: int, link: str) -> bool:
        """Read the folder that a link leads to, if that is not read already."""
        real = os.path.realpath(link)
        holder = os.path.realpath(os.path.dirname(link))
        if real in self.seen or real == self._real_root or holder.startswith(real + os.sep):
            self.left_out.add(ROUND_LINK, link)
            return False
        self.read(number, link, real)
        return True

    def read(self, number: int, folder: str, real: str) -> None:
        """Read a folder and those below it; links to folders are put aside."""
        waiting = [(folder, real, "")]
        found = self.found.setdefault(number, [])
        while waiting:
            directory, real, below = waiting.pop()
            if real in self.seen:
                continue
            self.seen.add(real)
            try:
                with os.scandir(directory) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
            except OSError:
                self.left_out.add(CLOSED, directory)
                continue
            folders = [entry for entry in entries if is_folder(entry)]
            names = [entry.name for entry in folders]
            for entry in folders:
                if reason := why_not_in_class(entry.name, names):
                    self.left_out.add(reason, entry.path + "/")
                elif entry.is_symlink():
                    self.links.append((number, entry.path))
                else:
                    inner = (entry.path, os.path.join(real, entry.name), f"{below}{entry.name}/")
                    waiting.append(inner)
            for entry in entries:
                if self._is_image(entry):
                    found.append((f"{below}{entry.name}", entry.path))

    def files_of(self, number: int) -> list[Path]:
        """The images of a folder, sorted."""
        found = [(unicodedata.normalize("NFC", key), path) for key, path in self.found[number]]
        return [Path(path) for _, path in sorted(found)]

    def _is_image(self, entry: os.DirEntry[str]) -> bool:
        if is_folder(entry):
            return False
        reason = why_no_file(entry.name)
        if reason is None and not is_file(entry):
            reason = why_neither(entry.path)
        if reason is None and not is_image(entry.path):
            reason = why_no_image(entry.name)
        if reason is not None:
            self.left_out.add(reason, entry.path)
        return reason is None


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
                f"The folder {pattern!r} holds no image. Known formats: {KNOWN_FORMATS}."
            )
        return files
    if path.exists():
        if not path.is_file():
            raise ValueError(
                f"{pattern!r} must be a file, a folder or a pattern. Received: a pipe, a device or "
                "a socket. Save its content as a file."
            )
        if not is_image_file(path):
            raise ValueError(
                f"The file {pattern!r} has no known image format. Known formats: {KNOWN_FORMATS}."
            )
        return [path]
    if not glob.has_magic(pattern):
        raise ValueError(f"The file {pattern!r} does not exist.")
    matches = map(Path, sorted(glob.glob(str(path), recursive=True)))
    files = [match for match in matches if is_image_file(match)]
    if not files:
        raise ValueError(f"No image matches the pattern {pattern!r}.")
    return files
