"""Tables of image files and labels: `csv:FILE`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kerastl.data.actions import of_actions
from kerastl.data.csv_labels import (
    NO_LABEL,
    Labels,
    columns_of_zeros_and_ones,
    gaps_warning,
    numbers,
    one_class,
    separator_of,
    several_classes,
    tags_warning,
)
from kerastl.data.csv_paths import image_files
from kerastl.data.csv_table import Table, plain, read_table
from kerastl.data.items import FileItems, SourceData
from kerastl.data.part_names import part_of
from kerastl.data.specs import DataSpec, options_of
from kerastl.data.tasks import CLASSIFICATION, MULTI_LABEL
from kerastl.data.understanding import Understanding, alike_names, alike_sentence
from kerastl.internals.printable import printable

_PATH_NAMES = (
    *("path", "file", "filename", "image", "image_path"),
    *("file_path", "image_file", "image_name", "img", "img_path"),
)
_LABEL_NAMES = ("label", "labels", "class", "target", "tags")
_SPLIT_NAMES = ("split",)
_SPLIT_NAMES_BY_CELLS = ("set", "subset", "partition", "usage", "phase", "data split", "data set")
_KINDS = ("path", "label", "labels", "split", "group", "separator")
_MOST_LISTED = 5


@dataclass(frozen=True)
class _Columns:
    """Which columns say what.

    Attributes:
        path: The image file, from the table's folder on.
        labels: The label, or one column for each class or number.
        split: The part, or None.
        group: What an image is of, or None.
        separator: What stands between the labels of a cell, or None.
    """

    path: str
    labels: tuple[str, ...]
    split: str | None
    group: str | None = None
    separator: str | None = None


def read_source(spec: DataSpec, task: str = CLASSIFICATION) -> SourceData:
    """The images of a table, found but not opened.

    The first line names the columns, with commas, semicolons, tabs or `|`
    between them. Paths are relative to the table's folder. Images of one
    `group`, which a spec must name, are never parted by a split or a fold. A
    column such as `set` or `usage` is the split where all its cells say parts.
    Several labels of an image stand in one cell with `;`, `|` or `,` between
    them, or what the spec says as `separator`, or in a column of 0 and 1 for
    each class, which the spec lists as `labels`; so may one class per image.

    Args:
        spec: A `csv` spec.
        task: What the labels are, one of `kerastl.data.tasks.TASKS`.

    Returns:
        The files in the order of the table; classes by name, or by column.

    Raises:
        ValueError: If the file is no such table, a file of it is missing, or
            a label cannot be read.
        UnknownNameError: If it lacks a column that the spec names.
    """
    given = _given(spec)
    named = [name for kind in ("label", "labels", "split", "group") for name in _names(given, kind)]
    table = read_table(
        Path(spec.name).expanduser(),
        path_names=(*_PATH_NAMES, *_names(given, "path")),
        known=(*_LABEL_NAMES, *_SPLIT_NAMES, *named),
    )
    columns = _columns(table, given, spec)
    others = [name for name in (*columns.labels, columns.split, columns.group) if name is not None]
    warnings = []
    if columns.split is None:
        split, warning = _split_by_cells(table, (columns.path, *others))
        columns, warnings = replace(columns, split=split), [warning] if warning else []
        others = [*others, split] if split else others
    table, left_out = of_actions(table, columns.path, *others)
    labels, class_names = _labels(table, columns, task)
    groups = None
    if columns.group is not None:
        groups = _groups(table, columns.group)
        alike = alike_names(np.unique(groups).tolist())
        warnings += [alike_sentence(alike, f"Groups of {columns.group!r}")] if alike else []
    paths, notes = image_files(table, columns.path)
    items = FileItems(paths, labels, groups, root=table.file.parent)
    parts = _parts(table, columns.split, items)
    if len(columns.labels) == 1 and task in (CLASSIFICATION, MULTI_LABEL):
        odd = (
            tags_warning(class_names, separator=columns.separator),
            gaps_warning(class_names, labels),
        )
        warnings += [warning for warning in odd if warning]
    return SourceData(
        parts,
        class_names,
        Understanding(
            {part: f"by the column {columns.split!r}" for part in parts if columns.split},
            left_out,
            warnings=tuple(warnings),
            notes=notes,
        ),
    )


def _given(spec: DataSpec) -> dict[str, str]:
    given = options_of(spec, _KINDS, what="column")
    if "label" in given and "labels" in given:
        raise ValueError(
            f"A csv spec must have label or labels. Received: both in {spec.config!r}. "
            "Leave one out."
        )
    return given


def _names(given: dict[str, str], kind: str) -> list[str]:
    return given[kind].split(",") if kind in given else []


def _columns(table: Table, given: dict[str, str], spec: DataSpec) -> _Columns:
    def found(kind: str, usual: Sequence[str]) -> str | None:
        return table.column(given[kind]) if kind in given else table.usual(usual)

    path = found("path", _PATH_NAMES)
    kind = "labels" if "labels" in given else "label"
    labels = [table.column(name) for name in _names(given, kind)]
    if not labels:
        labels = [name for name in (table.usual(_LABEL_NAMES),) if name is not None]
    if path is None or not labels:
        what, usual = ("path", _PATH_NAMES) if path is None else ("label", _LABEL_NAMES)
        raise ValueError(
            f"{table.file} must have a column {' or '.join(usual[:5])}. Received: the columns "
            f"{', '.join(table.names)}. Name it: csv:{spec.name}?{what}=COLUMN."
            f"{_class_columns(table, spec) if what == 'label' else ''}"
        )
    return _Columns(
        path,
        tuple(labels),
        found("split", _SPLIT_NAMES),
        found("group", ()),
        separator_of(given.get("separator")),
    )


def _split_by_cells(table: Table, others: Sequence[str]) -> tuple[str | None, str | None]:
    """The column that divides the table if its cells and its name say so, or a warning.

    Args:
        table: The table.
        others: Columns that say something else.
    """
    found: dict[str, list[str | None]] = {}
    for name in dict.fromkeys(table.names):
        if name and name not in others and table.names.count(name) == 1:
            parts = [part_of(cell) for cell in table.cells(name)]
            if None not in parts and "train" in parts and len(set(parts)) > 1:
                found[name] = parts
    if not found:
        return None, None
    alike = all(parts == next(iter(found.values())) for parts in found.values())
    usual = [name for name in found if plain(name) in map(plain, _SPLIT_NAMES_BY_CELLS)]
    if usual and alike:
        return usual[0], None
    if len(found) > 1:
        return None, (
            f"The columns {', '.join(map(repr, found))} say which images are for training and "
            "which are not, and none is used: add split=COLUMN to the spec."
        )
    (name,) = found
    said = "/".join(list(dict.fromkeys(map(printable, table.cells(name))))[:_MOST_LISTED])
    return None, (
        f"The column {name!r} says {said} and is not used: add split={name} to the spec, or "
        "remove the column."
    )


def _class_columns(table: Table, spec: DataSpec) -> str:
    columns = columns_of_zeros_and_ones(table)
    if len(columns) < 2:
        return ""
    return f" Columns of 0 and 1 for each class: csv:{spec.name}?labels={','.join(columns)}."


def _labels(table: Table, columns: _Columns, task: str) -> Labels:
    if columns.separator is not None and (task != MULTI_LABEL or len(columns.labels) > 1):
        raise ValueError(
            "`separator` must be left out unless one column has several labels per image. "
            f"Received: task={task!r} and the columns {', '.join(columns.labels)}. Say "
            "task='multi-label', in the shell --multi-label, or leave it out."
        )
    if task == CLASSIFICATION:
        return one_class(table, columns.labels)
    if task == MULTI_LABEL:
        return several_classes(table, columns.labels, columns.separator)
    return numbers(table, columns.labels)


def _groups(table: Table, column: str) -> np.ndarray:
    """What each image is of, `(images,)`."""
    cells = [printable(cell).strip() for cell in table.cells(column)]
    empty = [row for row, cell in enumerate(cells) if cell.casefold() in NO_LABEL]
    table.refuse(
        empty,
        f"must have a group for every image in the column {column!r}. Received: none",
        "Write one for each, its own for an image that is alone.",
    )
    return np.array(cells)


def _parts(table: Table, column: str | None, items: FileItems) -> dict[str, FileItems]:
    if column is None:
        return {"train": items}
    cells = table.cells(column)
    names = np.array([part_of(cell) or "" for cell in cells])
    wrong = np.flatnonzero(names == "").tolist()
    table.refuse(
        wrong,
        f"must say train, val or test in the column {column!r}. Received: "
        f"{printable(cells[wrong[0]])!r}"
        if wrong
        else "",
        "Mend or remove the line.",
    )
    if "train" not in names:
        raise ValueError(f"The column {column!r} of {table.file} must say train for some images.")
    return {
        part: items.some(np.flatnonzero(names == part))
        for part in ("train", "validation", "test")
        if (names == part).any()
    }
