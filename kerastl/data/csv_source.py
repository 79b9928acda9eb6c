"""Tables of image files and labels: `csv:FILE`."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np

from kerastl.data.items import FileItems, SourceData
from kerastl.data.specs import DataSpec
from kerastl.data.tasks import CLASSIFICATION, MULTI_LABEL
from kerastl.errors import unknown_name

_PATH_NAMES = ("path", "file", "filename", "image", "image_path")
_LABEL_NAMES = ("label", "labels", "class", "target", "tags")
_SPLIT_NAMES = ("split",)
_PARTS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
_BETWEEN_LABELS = re.compile(r"[;|,]")
_DELIMITERS = {".tsv": "\t"}
_MOST_LISTED = 5


@dataclass(frozen=True)
class _Columns:
    """Which columns say what.

    Attributes:
        path: The image file, from the table's folder on.
        labels: The label, or one column for each class or number.
        split: The part, or None.
        group: What an image is of, or None.
    """

    path: str
    labels: tuple[str, ...]
    split: str | None
    group: str | None = None


def read_source(spec: DataSpec, task: str = CLASSIFICATION) -> SourceData:
    """The images of a table, found but not opened.

    The first line names the columns; a file that ends in `.tsv` has tabs
    between them, any other commas. Paths are relative to the table's folder.
    Images of one `group`, which a spec must name, are never parted by a split or
    a fold. Several labels of an image stand in one cell with `;`, `|` or `,` between
    them, or in a column of 0 and 1 for each class.

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
    file = Path(spec.name).expanduser()
    names, rows = _table(file)
    columns = _columns(spec, names, file)
    paths = _paths(file, rows, columns.path)
    if task == CLASSIFICATION:
        labels, class_names = _classes(file, rows, columns)
    elif task == MULTI_LABEL:
        labels, class_names = _several(file, rows, columns)
    else:
        labels, class_names = _numbers(file, rows, columns.labels), columns.labels
    groups = None
    if columns.group is not None:
        groups = np.array([row[columns.group].strip() for row in rows])
    items = FileItems(tuple(paths), labels, groups, root=file.parent)
    return SourceData(_parts(file, rows, columns.split, items), class_names)


def _table(file: Path) -> tuple[list[str], list[dict[str, str]]]:
    if not file.is_file():
        raise ValueError(f"The table {str(file)!r} does not exist. Check the path.")
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            reader = csv.DictReader(
                opened, delimiter=_DELIMITERS.get(file.suffix.lower(), ","), restval=""
            )
            rows = list(reader)
            names = list(reader.fieldnames or ())
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"{file} must be a table of text in UTF-8. Received: {error}. Save it as CSV again."
        ) from error
    if not rows:
        raise ValueError(f"{file} must have a line of column names and a line per image.")
    return names, rows


def _columns(spec: DataSpec, names: Sequence[str], file: Path) -> _Columns:
    given = dict(parse_qsl(spec.config, keep_blank_values=True))
    kinds = ("path", "label", "split", "group")
    for name in given:
        if name not in kinds:
            listing = f"A csv spec may name the columns {', '.join(kinds)}."
            raise unknown_name("column of a csv spec", name, kinds, how_to_list=listing)

    def found(kind: str, usual: Sequence[str]) -> str | None:
        if kind in given:
            return given[kind]
        return next((name for name in usual if name in names), None)

    path, label = found("path", _PATH_NAMES), found("label", _LABEL_NAMES)
    for kind, column, usual in (("path", path, _PATH_NAMES), ("label", label, _LABEL_NAMES)):
        if column is None:
            raise ValueError(
                f"{file} must have a column {' or '.join(usual)}. Received: the columns "
                f"{', '.join(names)}. Name it: csv:{spec.name}?{kind}=COLUMN."
            )
    columns = _Columns(
        str(path), tuple(str(label).split(",")), found("split", _SPLIT_NAMES), found("group", ())
    )
    optional = filter(None, (columns.split, columns.group))
    for column in (columns.path, *columns.labels, *optional):
        if column not in names:
            listing = f"{file} has the columns {', '.join(names)}."
            raise unknown_name("column", column, names, how_to_list=listing)
    return columns


def _paths(file: Path, rows: Sequence[Mapping[str, str]], column: str) -> list[Path]:
    paths = [file.parent / row[column] for row in rows]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        more = f" and {len(missing) - _MOST_LISTED} more" if len(missing) > _MOST_LISTED else ""
        raise ValueError(
            f"Every image of {file} must be a file, from its folder on. Missing: "
            f"{', '.join(missing[:_MOST_LISTED])}{more}. Mend the column {column!r}."
        )
    return paths


def _classes(
    file: Path, rows: Sequence[Mapping[str, str]], columns: _Columns
) -> tuple[np.ndarray, tuple[str, ...]]:
    if len(columns.labels) > 1:
        raise ValueError(
            f"{file} must have one label column for one class per image. Received: "
            f"{', '.join(columns.labels)}. With several labels or numbers per image, say so: "
            "task='multi-label' or 'regression', in the shell --multi-label or --regression."
        )
    (column,) = columns.labels
    values = [row[column].strip() for row in rows]
    _refuse_empty(file, values, column)
    names = tuple(sorted(set(values)))
    if len(names) < 2:
        raise ValueError(
            f"{file} has one class only, {names[0]!r}. A classifier needs at least two."
        )
    number = {name: index for index, name in enumerate(names)}
    return np.array([number[value] for value in values], np.int64), names


def _several(
    file: Path, rows: Sequence[Mapping[str, str]], columns: _Columns
) -> tuple[np.ndarray, tuple[str, ...]]:
    if len(columns.labels) > 1:
        labels = _numbers(file, rows, columns.labels)
        if not np.isin(labels, (0, 1)).all():
            raise ValueError(
                f"{file} must have 0 or 1 in the columns {', '.join(columns.labels)}. Received: "
                f"{labels[~np.isin(labels, (0, 1))][0]:g} among them."
            )
        return labels, columns.labels
    (column,) = columns.labels
    cells = [[part.strip() for part in _BETWEEN_LABELS.split(row[column])] for row in rows]
    names = tuple(sorted({name for cell in cells for name in cell if name}))
    if not names:
        raise ValueError(f"{file} has no label in the column {column!r}.")
    number = {name: index for index, name in enumerate(names)}
    labels = np.zeros((len(rows), len(names)), np.float32)
    for row, cell in enumerate(cells):
        labels[row, [number[name] for name in cell if name]] = 1
    return labels, names


def _numbers(file: Path, rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> np.ndarray:
    values = np.empty((len(rows), len(columns)), np.float32)
    for line, row in enumerate(rows):
        for position, column in enumerate(columns):
            try:
                values[line, position] = float(row[column])
            except ValueError as error:
                raise ValueError(
                    f"{file} must have numbers in the column {column!r}. Received: "
                    f"{row[column]!r} for {line + 1}. image. Mend or remove that line."
                ) from error
    if not np.isfinite(values).all():
        raise ValueError(f"{file} must have finite numbers in {', '.join(columns)}.")
    return values


def _parts(
    file: Path,
    rows: Sequence[Mapping[str, str]],
    column: str | None,
    items: FileItems,
) -> dict[str, FileItems]:
    if column is None:
        return {"train": items}
    values = [row[column].strip().lower() for row in rows]
    wrong = sorted(set(values) - set(_PARTS))
    if wrong:
        raise ValueError(
            f"The column {column!r} of {file} must say train, val or test. Received: {wrong[0]!r}."
        )
    names = np.array([_PARTS[value] for value in values])
    if "train" not in names:
        raise ValueError(f"The column {column!r} of {file} must say train for some images.")
    parts = {}
    for part in ("train", "validation", "test"):
        members = np.flatnonzero(names == part)
        if len(members):
            parts[part] = items.some(members)
    return parts


def _refuse_empty(file: Path, values: Sequence[str], column: str) -> None:
    if "" in values:
        raise ValueError(
            f"{file} must have a label for every image. Received: none for "
            f"{values.index('') + 1}. image in the column {column!r}."
        )
