"""What a check has found as text for the terminal, and as a table that `csv:` data can take."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from kerastl.checking.finding import KINDS, Finding
from kerastl.data.actions import ACTIONS, KEEP
from kerastl.data.specs import parse_data_spec
from kerastl.data.tasks import REGRESSION
from kerastl.internals.tables import align
from kerastl.internals.whole_files import write_whole

if TYPE_CHECKING:
    from kerastl.checking.check import DataCheck

_PATH, _LABEL, _SPLIT, _GROUP = "path", "label", "split", "group"
_ABOUT = ("action", "kind", "finding", "detail", "suggested_label")
_MOST_CASES, _MOST_NAMES, _MOST_CLASSES = 5, 3, 12


def text(found: DataCheck) -> str:
    """The table of counts, the worst cases of each kind, and what was not looked at."""
    lines = [headline(found)]
    if found.task != REGRESSION:
        lines.append(f"Classes: {_classes(found)}")
    if found.findings:
        lines += ["", align(_count_rows(found), right=(1, 2))]
    else:
        lines += ["", "Nothing was found."]
    for kind in KINDS:
        cases = found.of(kind.name)
        if not cases:
            continue
        lines += ["", kind.title]
        lines += [f"  {_case(each)}" for each in cases[:_MOST_CASES]]
        if len(cases) > _MOST_CASES:
            lines.append(f"  and {len(cases) - _MOST_CASES:,} more")
    if found.notes:
        lines += ["", *found.notes]
    return "\n".join(lines)


def headline(found: DataCheck) -> str:
    """What was looked at, in a line."""
    parts = ", ".join(f"{part} {count:,}" for part, count in found.images.items())
    own = parts if len(found.images) > 1 else "no parts of its own"
    what = "numbers" if found.task == REGRESSION else "classes"
    return f"{found.spec}: {found.num_images:,} images of {len(found.class_names):,} {what} ({own})"


def short_spec(spec: str) -> str:
    """A data spec without the folders that it is in, for what is shown to others.

    Example:

    >>> short_spec("folder:/home/me/flowers/"), short_spec("digits")
    ('folder:flowers', 'digits')
    """
    source, separator, rest = spec.partition(":")
    if source not in ("folder", "csv") or not separator:
        return spec
    return f"{source}:{PurePath(rest).name or rest}"


def common_folder(found: DataCheck) -> str:
    """The folder that all files are in; "" where they have none in common, or are no files."""
    folders = set()
    for number in range(len(found.inventory)):
        path = found.inventory.path(number)
        if path is None:
            return ""
        folders.add(os.path.dirname(os.path.abspath(path)))
    try:
        return os.path.commonpath(folders)
    except ValueError:  # on two drives
        return ""


def write_csv(found: DataCheck, path: Path) -> None:
    """Write a row per finding and image, and a row with the action "keep" per other image.

    So the table is data by itself: an image is to be left out where a row of it
    says so, and counts once however many rows it has. What is found of a class
    or of all images has no row.

    Args:
        found: The check.
        path: The file; one that a check wrote is replaced.

    Raises:
        ValueError: If the path holds something else, or is the table that was checked.
    """
    check_csv_path(found.spec, path)
    own_names = list(found.class_names) if found.task == REGRESSION else [_LABEL]
    inventory = found.inventory
    columns = [_PATH, *own_names]
    columns += [_SPLIT] if len(inventory.parts) > 1 else []
    columns += [_GROUP] if inventory.groups is not None else []

    def row_of(number: int) -> list[str]:
        label = inventory.labels[number]
        own = [f"{value:g}" for value in label] if found.task == REGRESSION else None
        row = [_file_name(found, number, path.parent), *(own or [inventory.label(number)])]
        row += [inventory.part(number)] if _SPLIT in columns else []
        row += [str(inventory.groups[number])] if inventory.groups is not None else []
        return row

    def write(file: Path) -> None:
        # Names of files need not be text that can be encoded.
        with file.open("w", newline="", encoding="utf-8", errors="surrogateescape") as opened:
            writer = csv.writer(opened, lineterminator="\n")
            writer.writerow([*columns, *_ABOUT])
            named = set()
            for count, finding in enumerate(found.findings, start=1):
                for image in finding.images:
                    named.add(image.number)
                    about: list[Any] = [image.action, finding.kind.name, count, finding.detail]
                    writer.writerow([*row_of(image.number), *about, image.suggested_label])
            for number in range(len(inventory)):
                if number not in named:
                    writer.writerow([*row_of(number), KEEP, "", "", "", ""])

    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, write)


def check_csv_path(spec: str, path: Path) -> None:
    """Refuse a place for the table that holds something else, before any work is done.

    Args:
        spec: The data that are checked.
        path: The place.

    Raises:
        ValueError: If so, or if it is the table that is checked.
    """
    if spec.startswith("csv:"):
        table = Path(parse_data_spec(spec).name).expanduser()
        if path.resolve() == table.resolve():
            raise ValueError(
                f"The table of findings must not be the table that is checked. Received: {path}. "
                "Name another file."
            )
    if not path.exists():
        return
    if path.is_file():
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            if tuple(next(csv.reader(file), ()))[-len(_ABOUT) :] == _ABOUT:
                return
    raise ValueError(
        f"The table of findings must be a new file, or one that a check wrote. Received: {path}, "
        "which is there already. Name another file, or remove it."
    )


def _file_name(found: DataCheck, number: int, folder: Path) -> str:
    """The path of a file from the table's folder on; else the image's name."""
    path = found.inventory.path(number)
    if path is None:
        return found.inventory.name(number)
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # on another drive
        return str(path.resolve())


def _classes(found: DataCheck) -> str:
    counts = found.class_counts.sum(0)
    order = np.argsort(-counts, kind="stable")
    listed = [f"{found.class_names[n]} {counts[n]:,}" for n in order]
    if len(listed) <= _MOST_CLASSES:
        return ", ".join(listed)
    half = _MOST_CLASSES // 2
    return ", ".join([*listed[:half], f"{len(listed) - 2 * half:,} more", *listed[-half:]])


def count_rows(found: DataCheck) -> Iterator[tuple[str, int, int, str]]:
    """Of each kind that was found: its name, findings, images, and what is proposed."""
    for name, count in found.counts.items():
        images = [image for finding in found.of(name) for image in finding.images]
        actions = Counter(image.action for image in images)
        proposed = ", ".join(
            f"{action} {actions[action]:,}" for action in ACTIONS if actions[action]
        )
        yield name, count, len({image.number for image in images}), proposed


def _count_rows(found: DataCheck) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("found", "count", "images", "proposed")]
    for name, count, images, proposed in count_rows(found):
        rows.append((name, f"{count:,}", f"{images:,}" if images else "-", proposed or "-"))
    return rows


def _case(finding: Finding) -> str:
    names = [image.name for image in finding.images[:_MOST_NAMES]]
    more = len(finding.images) - len(names)
    listed = ", ".join(names) + (f" and {more:,} more" if more else "")
    return f"{finding.detail}: {listed}" if listed else finding.detail
