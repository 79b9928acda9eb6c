"""Read a table of text: its encoding, what stands between cells, its columns and lines."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kerastl.data.formats import IMAGE_SUFFIXES, suffix_of
from kerastl.errors import unknown_name

_DELIMITERS = (",", ";", "\t", "|")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LOOKED_AT = 20
_MOST_LINES = 5
_LARGEST_CELL = 2**24
# Excel's own first line.
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[;,\t ]*(?:\r\n|\r|\n)', re.IGNORECASE)
_NO_WORD = re.compile(r"[\s_\-.]+")


@dataclass(frozen=True)
class Table:
    """The cells of a table by column name.

    Attributes:
        file: Where it is.
        names: The columns.
        rows: A list of cells for each image, as many as there are columns.
        lines: The line on which each row ends, from 1.
    """

    file: Path
    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    def cells(self, column: str) -> list[str]:
        """The cells of a column, without spaces around them."""
        position = self.names.index(column)
        return [row[position].strip() for row in self.rows]

    def column(self, wanted: str) -> str:
        """The column of a name, whatever its case and the spaces in it.

        Raises:
            UnknownNameError: If there is none.
            ValueError: If there are several.
        """
        found = [name for name in self.names if name == wanted] or [
            name for name in self.names if plain(name) == plain(wanted)
        ]
        if not found:
            listing = f"{self.file} has the columns {', '.join(self.names)}."
            raise unknown_name("column", wanted, self.names, how_to_list=listing)
        if len(found) > 1:
            raise ValueError(
                f"{self.file} must have one column {wanted!r}. Received: "
                f"{', '.join(map(repr, found))}. Rename all but one."
            )
        return found[0]

    def usual(self, names: Iterable[str]) -> str | None:
        """The first of these columns that is there, or None."""
        known = {plain(name) for name in self.names}
        return next((self.column(name) for name in names if plain(name) in known), None)

    def refuse(self, rows: Sequence[int], what: str, how: str) -> None:
        """An error on some rows, if there are any, with their lines.

        Args:
            rows: Their numbers, from 0.
            what: What must hold and what was received instead.
            how: What to do.
        """
        if rows:
            raise ValueError(f"{self.file} {what} in {self.in_lines(rows)}. {how}")

    def in_lines(self, rows: Sequence[int]) -> str:
        """Where some rows are, in words."""
        lines = [f"{self.lines[row]:,}" for row in rows[:_MOST_LINES]]
        more = f" and {len(rows) - _MOST_LINES:,} more" if len(rows) > _MOST_LINES else ""
        return f"{'line' if len(rows) == 1 else 'lines'} {', '.join(lines)}{more}"


def plain(name: str) -> str:
    """A column's name without case, spaces, hyphens and underscores.

    Example:

    >>> plain(" Image_Path "), plain("file name")
    ('imagepath', 'filename')
    """
    return _NO_WORD.sub("", name).casefold()


def read_table(file: Path, *, path_names: Sequence[str], known: Sequence[str]) -> Table:
    """The cells of a table.

    Args:
        file: Text in UTF-8, UTF-16 or UTF-32, the first line with column
            names, and commas, semicolons, tabs or `|` between cells.
        path_names: What the column of image files may be called.
        known: What other columns that are looked for may be called.

    Raises:
        ValueError: If it is no such table.
    """
    if not file.is_file():
        what = "is no file" if file.exists() else "does not exist"
        raise ValueError(f"The table {str(file)!r} {what}. Check the path.")
    text = _text(file)
    own = _SEPARATOR_LINE.match(text)
    text, skipped = (text[own.end() :], 1) if own else (text, 0)
    delimiter = own.group(1) if own else _delimiter(text, [*path_names, *known], file)
    rows, lines = _rows(file, text, delimiter)
    names = tuple(name.strip() for name in rows[0]) if rows else ()
    _check_header(file, names, path_names)
    _check_spaces(file, names, [*path_names, *known])
    if len(rows) < 2:
        raise ValueError(f"{file} must have a line of column names and a line per image.")
    lines = [line + skipped for line in lines]
    whole = [_whole(file, row, names, line) for row, line in zip(rows, lines, strict=True)]
    return Table(file, names, tuple(whole[1:]), tuple(lines[1:]))


def _text(file: Path) -> str:
    """The text of a file, by its mark, or by the zeros that UTF-16 has in plain letters.

    Bytes that are no UTF-8 stay as Python has them in names of files.
    """
    raw = file.read_bytes()
    encoding = next((name for mark, name in _MARKS if raw.startswith(mark)), "")
    if not encoding and raw[1:2] == b"\0":
        encoding = "utf-16-le"
    elif not encoding and raw[:1] == b"\0":
        encoding = "utf-16-be"
    try:
        text = raw.decode(encoding) if encoding else raw.decode("utf-8", "surrogateescape")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{file} must be a table of text in {encoding.upper()}, as it begins. Received: "
            f"{error}. Save it as CSV in UTF-8 again."
        ) from error
    if "\0" in text:
        raise ValueError(f"{file} must be a table of text. Received: zeros in it. Save it as CSV.")
    return text


def _rows(
    file: Path, text: str, delimiter: str, most: int | None = None
) -> tuple[list[list[str]], list[int]]:
    """The rows that are not blank, and the line on which each ends."""
    rows: list[list[str]] = []
    lines: list[int] = []
    before = csv.field_size_limit(_LARGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append(row)
                lines.append(reader.line_num)
            if len(rows) == most:
                break
    except csv.Error as error:
        raise ValueError(
            f"{file} must be a table of text. Received: {error} in line {reader.line_num}. "
            "Save it as CSV again."
        ) from error
    finally:
        csv.field_size_limit(before)
    return rows, lines


def _delimiter(text: str, known: Sequence[str], file: Path) -> str:
    """What stands between cells: what finds known columns, then what divides all lines alike."""
    plain_known = {plain(name) for name in known}

    def score(delimiter: str) -> tuple[int, float, int]:
        rows, _ = _rows(file, text, delimiter, _LOOKED_AT)
        if not rows:
            return 0, 0.0, 0
        found = sum(plain(name) in plain_known for name in rows[0])
        width = len(rows[0])
        alike = sum(len(row) == width for row in rows) / len(rows) if width > 1 else 0.0
        return found, alike, width

    # The first of the best: a table of one column has commas, of which there are none.
    return max(_DELIMITERS, key=score)


def _check_header(file: Path, names: Sequence[str], path_names: Sequence[str]) -> None:
    """Refuse a first line that is of an image, and not of column names."""
    if any(plain(name) in map(plain, path_names) for name in names):
        return
    for name in names:
        is_file = suffix_of(name) in IMAGE_SUFFIXES
        if is_file or (name and (file.parent / name).is_file()):
            raise ValueError(
                f"{file} must begin with a line of column names. Received: "
                f"{', '.join(map(repr, names))} as the first line. Put a line such as "
                "path,label above it."
            )


def _check_spaces(file: Path, names: Sequence[str], known: Sequence[str]) -> None:
    """Refuse a table whose cells have spaces between them."""
    plain_known = {plain(name) for name in known}
    if len(names) != 1 or plain(names[0]) in plain_known:
        return
    words = names[0].split()
    if len(words) > 1 and any(plain(word) in plain_known for word in words):
        raise ValueError(
            f"{file} must have commas, semicolons, tabs or | between cells. Received: spaces, in "
            f"the first line {names[0]!r}. Replace them, as in {','.join(words)}."
        )


def _whole(file: Path, row: Sequence[str], names: Sequence[str], line: int) -> tuple[str, ...]:
    """A row with a cell for each column."""
    if any(cell.strip() for cell in row[len(names) :]):
        raise ValueError(
            f"{file} must have {len(names)} cells in each line, as in the first. Received: "
            f"{len(row)} in line {line}. Put a cell with a separator in it into quotes."
        )
    return (*row[: len(names)], *[""] * (len(names) - len(row)))
