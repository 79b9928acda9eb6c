"""What the cells of a table say of an image: one class, several, or numbers."""

from __future__ import annotations

import ast
import re
import unicodedata
from collections.abc import Callable, Sequence

import numpy as np

from kerastl.data.csv_table import Table

_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
# The beginning of a list of texts in quotes, or a whole empty one.
_LIST = re.compile(r"""[\[({]\s*(?:['"]|np\.)|\[\s*\]$""")
_CLOSING = {"[": "]", "(": ")", "{": "}"}
_BETWEEN_LABELS = re.compile(r"[;|,]")
_SEPARATORS = {" ": "space", "|": "|", ";": ";", ",": ",", "/": "/", "+": "plus"}
# Hardly a name has these in it.
_BARS = "|;"
_NAMED = {
    "space": " ",
    "tab": "\t",
    "comma": ",",
    "semicolon": ";",
    "pipe": "|",
    "bar": "|",
    "plus": "+",
    "slash": "/",
}
NO_LABEL = ("", "nan", "<na>", "#n/a")
"""What a cell without a value says, in small letters."""

# Classes by these names there may be, but more often they are gaps.
_LIKE_GAPS = ("NA", "N/A", "n/a", "NULL", "Null", "null", "None", "?", "-")
_TRUE = ("1", "1.0", "true")
_FALSE = ("0", "0.0", "false")
_FEWEST_TAGGED = 2
_MOST_COMPARED = 1000
_ADD = "Write a label there, or remove the line."

Labels = tuple[np.ndarray, tuple[str, ...]]
"""Labels, `(images, ...)`, and the name of each class or number."""


def one_class(table: Table, columns: Sequence[str]) -> Labels:
    """The class of each image: what one column says, or which of several has a 1.

    Args:
        table: The table.
        columns: The column of labels, or one of 0 and 1 for each class.

    Raises:
        ValueError: If an image has no class, or several.
    """
    if len(columns) > 1:
        return _one_of_columns(table, columns)
    (column,) = columns
    values = _texts(table, column)
    lists = [_listed(value) for value in values]
    table.refuse(
        [row for row, found in enumerate(lists) if found and len(found) > 1],
        f"must have one label for every image. Received: lists of several in {column!r}",
        "Say task='multi-label', in the shell --multi-label.",
    )
    values = [
        value if found is None else "".join(found)
        for value, found in zip(values, lists, strict=True)
    ]
    missing = [row for row, value in enumerate(values) if value.casefold() in NO_LABEL]
    table.refuse(missing, f"must have a label for every image. Received: none in {column!r}", _ADD)
    names = tuple(sorted(set(values)))
    if len(names) < 2:
        raise ValueError(
            f"{table.file} has one class only, {names[0]!r}. A classifier needs at least two."
        )
    number = {name: index for index, name in enumerate(names)}
    return np.array([number[value] for value in values], np.int64), names


def several_classes(table: Table, columns: Sequence[str], separator: str | None) -> Labels:
    """0 or 1 for each class of each image; an empty cell says that it is of none.

    Args:
        table: The table.
        columns: The column of labels, or one of 0 and 1 for each class.
        separator: What stands between the labels of a cell; None: `;`, `|` or `,`.

    Raises:
        ValueError: If a label cannot be read.
    """
    if len(columns) > 1:
        return _zeros_and_ones(table, columns), tuple(columns)
    (column,) = columns
    texts = _texts(table, column)
    missing = [row for row, text in enumerate(texts) if text and text.casefold() in NO_LABEL]
    table.refuse(
        missing,
        f"must have labels, or nothing where there are none. Received: a gap in {column!r}",
        "Empty the cells of images without labels.",
    )
    split = _BETWEEN_LABELS.split if separator is None else _splitting(separator)
    lists = [_listed(text) for text in texts]
    broken = [row for row, text in enumerate(texts) if lists[row] is None and _LIST.match(text)]
    table.refuse(
        broken,
        f"must have whole lists of labels in quotes. Received: "
        f"{texts[broken[0]] if broken else ''} in the column {column!r}",
        "Write them as ['cat', 'dog'], or without brackets and quotes.",
    )
    if not any(lists):
        texts = _without_brackets(texts)
    cells = [
        [part.strip() for part in (split(text) if found is None else found)]
        for text, found in zip(texts, lists, strict=True)
    ]
    names = tuple(sorted({name for cell in cells for name in cell if name}))
    if not names:
        raise ValueError(f"{table.file} has no label in the column {column!r}.")
    number = {name: index for index, name in enumerate(names)}
    labels = np.zeros((len(cells), len(names)), np.float32)
    for row, cell in enumerate(cells):
        labels[row, [number[name] for name in cell if name]] = 1
    return labels, names


def numbers(table: Table, columns: Sequence[str]) -> Labels:
    """The numbers of each image, float32, `(images, columns)`.

    Raises:
        ValueError: If a cell is no finite number.
    """
    values = np.full((len(table.rows), len(columns)), np.nan, np.float32)
    for position, column in enumerate(columns):
        cells = table.cells(column)
        wrong = []
        for row, cell in enumerate(cells):
            try:
                values[row, position] = float(cell)
            except ValueError:
                wrong.append(row)
        if wrong:
            received = f"{cells[wrong[0]]!r}" if cells[wrong[0]] else "nothing"
            table.refuse(
                wrong,
                f"must have numbers in the column {column!r}. Received: {received}",
                "Mend or remove the line.",
            )
        infinite = np.flatnonzero(~np.isfinite(values[:, position])).tolist()
        table.refuse(
            infinite,
            f"must have finite numbers in the column {column!r}. Received: "
            f"{values[infinite[0], position] if infinite else 0:g}",
            "Mend or remove the line.",
        )
    return values, tuple(columns)


def separator_of(text: str | None) -> str | None:
    """What `separator=` says: a word such as "space", or the separator itself.

    Example:

    >>> separator_of("space"), separator_of("|"), separator_of(None)
    (' ', '|', None)
    """
    if text == "":
        raise ValueError(
            "`separator` must say what stands between labels. Received: separator= with nothing "
            f"after it. Write it, or a word: {', '.join(_NAMED)}."
        )
    return None if text is None else _NAMED.get(text.casefold(), text)


def tags_warning(names: Sequence[str], *, separator: str | None) -> str | None:
    """A sentence where many classes consist of the same words: they are several labels each.

    "black bear" beside "bear" and "brown bear" is no such sign; "clear road"
    beside "road clear water" and "road" is.

    Args:
        names: Every class.
        separator: What stood between labels, if they were several.

    Example:

    >>> tags_warning(["a|b", "a", "b|c", "c", "a|c"], separator=None)[:52]
    "3 of 5 classes consist of words of others, as 'a|b':"
    >>> tags_warning(["bear", "black bear", "brown bear", "cat"], separator=None)
    """
    names = names[:_MOST_COMPARED]
    alone = frozenset(name.strip() for name in names)
    for between, word in _SEPARATORS.items():
        if between == separator:
            continue
        words = {name: _words(name, between) for name in names}
        many = [name for name in names if len(words[name]) > 1]
        used: dict[str, int] = {}
        for each in words.values():
            for single in each:
                used[single] = used.get(single, 0) + 1
        composed = [name for name in many if all(used[single] > 1 for single in words[name])]
        of_classes = [name for name in many if words[name] <= alone]
        if between == " ":
            # Words of a name also come in other names: only tags consist of whole ones.
            known = list(words.values())
            composed = [name for name in composed if _consists_of(words[name], known)]
        elif between == "/":
            # So are kinds and their kinds written.
            composed = of_classes
        enough = max(_FEWEST_TAGGED, len(many) / 3)
        often = len(composed) >= enough and 3 * len(many) > len(names)
        if not often and between in _BARS:
            composed = of_classes
        if often or (composed and between in _BARS):
            verb = "consists" if len(composed) == 1 else "consist"
            return (
                f"{len(composed)} of {len(names)} classes {verb} of words of others, as "
                f"{composed[0]!r}: are they several labels each? Then say so: task='multi-label', "
                f"in the shell --multi-label, and csv:FILE?separator={word}."
            )
    return None


def gaps_warning(names: Sequence[str], labels: np.ndarray) -> str | None:
    """A sentence where names of classes look like gaps.

    Args:
        names: Every class.
        labels: Class numbers, or 0 or 1 for each class of each image.
    """
    counts = labels.sum(0) if labels.ndim > 1 else np.bincount(labels, minlength=len(names))
    odd = [
        f"{name!r} ({int(count):,} {'image' if count == 1 else 'images'})"
        for name, count in zip(names, counts, strict=True)
        if name in _LIKE_GAPS
    ]
    if not odd:
        return None
    return (
        f"Labels that look like gaps are taken for classes: {', '.join(odd)}. If they are none, "
        "write a label there, or remove the lines."
    )


def _words(name: str, separator: str) -> frozenset[str]:
    return frozenset(filter(None, map(str.strip, _splitting(separator)(name))))


def _consists_of(words: frozenset[str], known: Sequence[frozenset[str]]) -> bool:
    """Whether other classes are all of these words, or two of them and more."""
    others = [other for other in known if other < words]
    again = sum(other == words for other in known) > 1  # In another order.
    return again or any(len(other) > 1 for other in others) or frozenset().union(*others) == words


def columns_of_zeros_and_ones(table: Table) -> list[str]:
    """The columns that may be one class each."""

    def is_one(name: str) -> bool:
        cells = {cell.casefold() for cell in table.cells(name)}
        return bool(cells & {*_TRUE}) and bool(cells & {*_FALSE}) and cells <= {*_TRUE, *_FALSE}

    return [name for name in table.names if name and is_one(name)]


def _splitting(separator: str) -> Callable[[str], list[str]]:
    return str.split if separator == " " else lambda text: text.split(separator)


def _listed(text: str) -> list[str] | None:
    """The labels of a cell that is a list of texts in quotes, as Python, NumPy or JSON write it.

    Example:

    >>> _listed("['a', 'b c']"), _listed('["a", "b c"]'), _listed("a, b")
    (['a', 'b c'], ['a', 'b c'], None)
    """
    if not _LIST.match(text) or text[-1] != _CLOSING[text[0]]:
        return None
    inside = text[1:-1]
    if _QUOTED.sub("", inside).replace(",", "").strip():
        return None
    try:
        return [str(ast.literal_eval(quoted.group())) for quoted in _QUOTED.finditer(inside)]
    except (SyntaxError, ValueError):
        return None


def _without_brackets(texts: Sequence[str]) -> list[str]:
    """The cells without the brackets that all of them have, as lists without quotes."""
    if all(not text or (text[0] == "[" and text[-1] == "]") for text in texts):
        return [text[1:-1] for text in texts]
    return list(texts)


def _texts(table: Table, column: str) -> list[str]:
    """The cells of a column, letters in one form.

    Raises:
        ValueError: If a cell is no UTF-8.
    """
    cells = [unicodedata.normalize("NFC", cell) for cell in table.cells(column)]
    wrong = [row for row, cell in enumerate(cells) if not _is_text(cell)]
    table.refuse(
        wrong,
        f"must be a table of text in UTF-8. Received: other bytes in the column {column!r}",
        "Save it as CSV in UTF-8 again.",
    )
    return cells


def _is_text(cell: str) -> bool:
    return cell.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in cell)


def _one_of_columns(table: Table, columns: Sequence[str]) -> Labels:
    labels = _zeros_and_ones(table, columns)
    counts = labels.sum(1)
    hint = (
        "With several labels or numbers per image, say so: task='multi-label' or 'regression', "
        "in the shell --multi-label or --regression."
    )
    for wrong, what in ((counts > 1, "several"), (counts == 0, "none")):
        table.refuse(
            np.flatnonzero(wrong).tolist(),
            f"must have one 1 for each image in the columns {', '.join(columns)}. Received: {what}",
            hint,
        )
    empty = [name for name, count in zip(columns, labels.sum(0), strict=True) if not count]
    if empty:
        raise ValueError(
            f"{table.file} must have images of every class. Received: none of "
            f"{', '.join(map(repr, empty))}. Leave it out of the columns."
        )
    return labels.argmax(1).astype(np.int64), tuple(columns)


def _zeros_and_ones(table: Table, columns: Sequence[str]) -> np.ndarray:
    labels = np.zeros((len(table.rows), len(columns)), np.float32)
    for position, column in enumerate(columns):
        cells = [cell.casefold() for cell in table.cells(column)]
        wrong = [row for row, cell in enumerate(cells) if cell not in (*_TRUE, *_FALSE)]
        received = f"{cells[wrong[0]]!r}" if wrong and cells[wrong[0]] else "nothing"
        table.refuse(
            wrong,
            f"must have 0 or 1 in the columns {', '.join(columns)}. Received: {received} in "
            f"{column!r}",
            "Mend it; other labels are for --multi-label in one column, or --regression.",
        )
        labels[:, position] = [cell in _TRUE for cell in cells]
    return labels
