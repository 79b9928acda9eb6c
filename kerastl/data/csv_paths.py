"""Find the image files that a table names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from kerastl.data.csv_table import Table
from kerastl.data.formats import IMAGE_SUFFIXES, suffix_of
from kerastl.internals.printable import printable

_MOST_LISTED = 5


def image_files(table: Table, column: str) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """The file of each row, and what to know of them, one sentence each.

    Cells may have spaces around them, or the separators of Windows. Where no
    cell is a file, each may lack its suffix: one image has to have that name.

    Args:
        table: The table.
        column: Its column of paths, from its folder on.

    Raises:
        ValueError: If a file is missing.
    """
    folder = table.file.parent
    position = table.names.index(column)
    cells = [row[position] for row in table.rows]
    tried = [_forms(folder, cell) for cell in cells]
    found = [next((path for path in paths if path.is_file()), None) for paths in tried]
    missing = [row for row, path in enumerate(found) if path is None]
    if not missing:
        return tuple(path for path in found if path is not None), ()
    listed: dict[Path, dict[str, list[Path]]] = {}
    stems = {row: _with_a_suffix(tried[row], listed) for row in missing}
    if len(missing) == len(cells) and all(len(paths) == 1 for paths in stems.values()):
        note = (
            f"The column {column!r} has no suffixes: {printable(cells[0].strip())!r} is "
            f"{printable(stems[0][0].name)!r}, and so on."
        )
        return tuple(paths[0] for paths in stems.values()), (note,)
    names = [printable(folder / cells[row]) for row in missing[:_MOST_LISTED]]
    more = f" and {len(missing) - _MOST_LISTED:,} more" if len(missing) > _MOST_LISTED else ""
    there = next(((row, stems[row]) for row in missing if stems[row]), None)
    hint = ""
    if there is not None:
        row, paths = there
        files = " and ".join(printable(path.name) for path in paths[:_MOST_LISTED])
        hint = (
            f" For {printable(cells[row].strip())!r} there is {files}: write the suffixes, if "
            "that is meant."
        )
    raise ValueError(
        f"Every image of {table.file} must be a file, from its folder on. Missing: "
        f"{', '.join(names)}{more}, in {table.in_lines(missing)}. Mend the column {column!r}.{hint}"
    )


def _forms(folder: Path, cell: str) -> list[Path]:
    forms = dict.fromkeys((cell, cell.strip(), cell.strip().replace("\\", "/")))
    return [folder / form for form in forms if form.strip()]


def _with_a_suffix(paths: Sequence[Path], listed: dict[Path, dict[str, list[Path]]]) -> list[Path]:
    """The images whose names are one of these paths and a suffix.

    Args:
        paths: Forms of one path.
        listed: The images of each folder by name without suffix; more are added.
    """
    for path in paths:
        if path.parent not in listed:
            listed[path.parent] = _images_of(path.parent)
        images = listed[path.parent].get(path.name)
        if images:
            return images
    return []


def _images_of(folder: Path) -> dict[str, list[Path]]:
    images: dict[str, list[Path]] = {}
    if folder.is_dir():
        for name in sorted(os.listdir(folder)):
            if suffix_of(name) in IMAGE_SUFFIXES and (folder / name).is_file():
                images.setdefault(os.path.splitext(name)[0], []).append(folder / name)
    return images
