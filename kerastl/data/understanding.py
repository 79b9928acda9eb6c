"""What was understood of some data: which parts, which classes, what was left out."""

from __future__ import annotations

import os
import re
import unicodedata
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from kerastl.data.tasks import REGRESSION
from kerastl.errors import DataWarning
from kerastl.internals.printable import printable

_MOST_CLASSES = 12
_MOST_EXAMPLES = 3
_MOST_NAMED = 3
# As pandas writes whole numbers of a column with gaps.
_WHOLE_NUMBER = re.compile(r"(-?\d+)\.0*")


@dataclass(frozen=True)
class LeftOut:
    """Files or folders that are not read, for one reason.

    Attributes:
        reason: What one of them is.
        count: How many.
        examples: The first names.
    """

    reason: str
    count: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        names = ", ".join(self.examples)
        more = ", ..." if self.count > len(self.examples) else ""
        return f"{self.reason}: {self.count:,} ({names}{more})"


@dataclass(frozen=True)
class Understanding:
    """What a source says of its images beside the images themselves.

    Attributes:
        origins: Where each part came from, in words, by part.
        left_out: What was found and is not read.
        warnings: What is likely to be a mistake, one sentence each.
        notes: What else to know, one sentence each.
    """

    origins: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def with_remarks(
        self, *, warnings: Sequence[str] = (), notes: Sequence[str] = ()
    ) -> Understanding:
        """The same, and more of what to know."""
        return replace(self, warnings=(*self.warnings, *warnings), notes=(*self.notes, *notes))

    @property
    def lines(self) -> list[tuple[str, str]]:
        """What was left out and what is odd: a word for each, and the words on it."""
        left_out = [("left out", "; ".join(map(str, self.left_out)))] if self.left_out else []
        remarks = [("warning", self.warnings), ("note", self.notes)]
        return left_out + [(word, line) for word, lines in remarks for line in lines]


class LeftOutLog:
    """Collects what is left out while files are looked for."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}
        self._counts: dict[str, int] = {}

    def add(self, reason: str, path: str) -> None:
        """Note a file or folder.

        Args:
            reason: Why it is left out; the same words for the same reason.
            path: Where it is, a folder with a slash at the end.
        """
        self._counts[reason] = self._counts.get(reason, 0) + 1
        names = self._names.setdefault(reason, [])
        if len(names) < _MOST_EXAMPLES:
            names.append(path)

    def count(self, reason: str) -> int:
        """How many were left out for a reason."""
        return self._counts.get(reason, 0)

    def found(self, root: Path) -> tuple[LeftOut, ...]:
        """Everything that was noted, by reason.

        Args:
            root: Where the names begin that are shown.
        """
        return tuple(
            LeftOut(reason, count, tuple(_below(path, root) for path in self._names[reason]))
            for reason, count in self._counts.items()
        )


def _below(path: str, root: Path) -> str:
    return printable(Path(os.path.relpath(path, root)).as_posix() + "/" * path.endswith("/"))


@contextmanager
def quietly() -> Iterator[None]:
    """Warn of nothing in some data: whoever loads them shows what is in `understanding`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        yield


def understood(source: Any, fractions: Mapping[str, float]) -> Understanding:
    """What is known once the parts are settled; warns of what is likely to be a mistake.

    Args:
        source: The `SourceData`.
        fractions: What share of the training images each part was asked to be,
            where the source has no such part itself.
    """
    found: Understanding = source.understanding
    drawn = {
        part: f"drawn, {100 * fraction:.3g} %"
        for part, fraction in fractions.items()
        if part not in source.parts and fraction > 0
    }
    alike = alike_names(source.class_names)
    also = [alike_sentence(alike)] if alike else []
    whole = replace(found, origins={**found.origins, **drawn}, warnings=(*also, *found.warnings))
    for warning in whole.warnings:
        warnings.warn(warning, DataWarning, stacklevel=3)
    return whole


def described(data: Any) -> list[tuple[str, str]]:
    """What a run is about to train on: a word for each line, and the line.

    Args:
        data: What `load_data` gives.
    """
    parts = [part for part, size in data.sizes.items() if size]
    origins = data.understanding.origins
    sizes = [
        f"{part} {data.sizes[part]:,}" + (f" ({origins[part]})" if part in origins else "")
        for part in parts
    ]
    return [
        ("images", ", ".join(sizes)),
        _classes_line(data, parts),
        *data.understanding.lines,
    ]


def alike_names(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Names that differ only in case, spaces, or in how letters or a whole number are written.

    Example:

    >>> alike_names(["Cat", "dog", "cat", "ape ", "1", "1.0"])
    [('Cat', 'cat'), ('1', '1.0')]
    """
    by_form: dict[str, list[str]] = {}
    for name in names:
        form = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        whole = _WHOLE_NUMBER.fullmatch(form)
        form = whole.group(1) if whole else form
        by_form.setdefault(form, []).append(name)
    return [tuple(alike) for alike in by_form.values() if len(alike) > 1]


def alike_sentence(alike: Sequence[tuple[str, ...]], what: str = "These classes") -> str:
    """A warning of names that `alike_names` found.

    Args:
        alike: The names.
        what: What they are names of.
    """
    listed = "; ".join(", ".join(map(repr, names)) for names in alike[:_MOST_NAMED])
    more = f" and {len(alike) - _MOST_NAMED} more" if len(alike) > _MOST_NAMED else ""
    return (
        f"{what} differ only in case, spaces or the form of a letter or number: {listed}{more}. "
        "If they are one, give them one name."
    )


def _classes_line(data: Any, parts: Sequence[str]) -> tuple[str, str]:
    names = data.class_names
    if data.task == REGRESSION:
        ranges = [
            f"{name} from {column.min():g} to {column.max():g}"
            for name, column in zip(names, np.concatenate(_labels(data, parts)).T, strict=True)
        ]
        return "numbers", "; ".join(_shortened(ranges))
    counts = np.stack([_counts(labels, len(names)) for labels in _labels(data, parts)])
    each = [
        f"'{name}' {'/'.join(f'{count:,}' for count in column)}"
        for name, column in zip(names, counts.T, strict=True)
    ]
    what = f"{len(names)}, images of {'/'.join(parts)}: "
    if len(names) > _MOST_CLASSES:
        rarest, most = int(counts[0].argmin()), int(counts[0].argmax())
        return "classes", (
            f"{what}{', '.join(_shortened(each))}; the fewest to train on {each[rarest]}, "
            f"the most {each[most]}"
        )
    return "classes", what + ", ".join(each)


def _labels(data: Any, parts: Sequence[str]) -> list[np.ndarray]:
    return [data.labels(part) for part in parts]


def _counts(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Images of each class, also where an image has several."""
    if labels.ndim > 1:
        return labels.sum(0).astype(np.int64)
    return np.bincount(labels, minlength=num_classes)


def _shortened(texts: Sequence[str]) -> list[str]:
    if len(texts) <= _MOST_CLASSES:
        return list(texts)
    kept = _MOST_CLASSES // 2
    return [*texts[:kept], f"and {len(texts) - kept:,} more"]
