"""`split.csv`: which image of a run was for training, which for validation, which for the test."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerastl.errors import DamagedFileError
from kerastl.internals.whole_files import write_whole

HASHED, POSITIONAL = "hashed", "positional"
SPLITS = (HASHED, POSITIONAL)
"""How parts are drawn: by what images are called, or, as kerastl 0.1 did, by their positions."""

_PARTS = ("train", "validation", "test")
_DIGEST = re.compile("([0-9a-f]{2})*")
_COLUMNS = ("path", "part", "label", "digest")


@dataclass(frozen=True)
class SplitRow:
    """One image of a run.

    Attributes:
        path: What it is called: the path below the data, or its number.
        part: "train", "validation" or "test".
        label: Name of its class, or its row.
        digest: Of its content, in hexadecimal; "" where it was not taken.
    """

    path: str
    part: str
    label: str
    digest: str


@dataclass(frozen=True)
class RecordedSplit:
    """The split of a run.

    Attributes:
        file: Where it was written down.
        rows: Every image.
    """

    file: Path
    rows: Sequence[SplitRow]

    def paths(self, part: str) -> frozenset[str]:
        """The images of a part by path."""
        return frozenset(row.path for row in self.rows if row.part == part)

    def digests(self, *parts: str) -> frozenset[str]:
        """The contents of the images of some parts, as far as they are known."""
        return frozenset(row.digest for row in self.rows if row.part in parts and row.digest)


@dataclass(frozen=True)
class Found:
    """The rows of some images.

    Attributes:
        rows: Of each image, or None: it is new, or not what it was.
        changed: How many images have a row's path and another content.
        moved: How many are a row's picture under another path.
        gone: How many rows no image has, those of another content apart.
    """

    rows: Sequence[SplitRow | None]
    changed: int
    moved: int
    gone: int


def rows_of(images: Sequence[tuple[str, str]], rows: Sequence[SplitRow]) -> Found:
    """The row of each image: by path where the content agrees, else by content.

    Args:
        images: Path and digest of each; "" for a digest that is not known.
        rows: What a run has written down; a path that a table lists twice has two.
    """
    by_path: dict[str, list[int]] = defaultdict(list)
    by_digest: dict[str, list[int]] = defaultdict(list)
    for number, row in reversed(list(enumerate(rows))):
        by_path[row.path].append(number)
        if row.digest:
            by_digest[row.digest].append(number)
    found: list[SplitRow | None] = [None] * len(images)
    taken: set[int] = set()
    for image, (path, digest) in enumerate(images):
        candidates = by_path.get(path, [])
        if candidates and digest in ("", rows[candidates[-1]].digest or digest):
            number = candidates.pop()
            taken.add(number)
            found[image] = rows[number]
    moved = 0
    for image, (_, digest) in enumerate(images):
        same = [number for number in by_digest.get(digest, []) if number not in taken]
        if found[image] is None and same:
            moved += 1
            taken.add(same[-1])
            found[image] = rows[same[-1]]
    missed = {path for image, (path, _) in enumerate(images) if found[image] is None}
    changed = sum(row.path in missed for n, row in enumerate(rows) if n not in taken)
    return Found(found, changed, moved, len(rows) - len(taken) - changed)


def label_text(label: Any, class_names: Sequence[str]) -> str:
    """A label as the file has it: the name of its class, or its row of numbers."""
    if np.ndim(label):
        return " ".join(f"{value:.7g}" for value in label)
    return class_names[int(label)]


def save(file: Path, rows: Iterable[SplitRow]) -> None:
    """Write the split of a run, whole or not at all."""

    def write(path: Path) -> None:
        # A file name may be no UTF-8: its bytes are kept as they are.
        with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as lines:
            writer = csv.writer(lines, lineterminator="\n")
            writer.writerow(_COLUMNS)
            writer.writerows((row.path, row.part, row.label, row.digest) for row in rows)

    write_whole(file, write)


def load(file: Path) -> RecordedSplit:
    """The split that a run has written.

    Raises:
        DamagedFileError: If the file is not as a run writes it.
    """
    try:
        with file.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
            rows = list(csv.reader(lines, strict=True))
    except csv.Error as error:
        raise _damaged(file) from error
    if not rows or tuple(rows[0]) != _COLUMNS or not all(map(_is_row, rows[1:])):
        raise _damaged(file)
    return RecordedSplit(file, [SplitRow(*row) for row in rows[1:]])


def _is_row(row: Sequence[str]) -> bool:
    return len(row) == len(_COLUMNS) and row[1] in _PARTS and _DIGEST.fullmatch(row[3]) is not None


def _damaged(file: Path) -> DamagedFileError:
    return DamagedFileError(
        f"{file} must have the columns {', '.join(_COLUMNS)}, as a run writes it. It is "
        "damaged or was changed: put the run's own file back, or run again."
    )
