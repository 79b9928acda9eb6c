"""What the column `action` of a table does, as `kerastl check --write` gives it."""

from __future__ import annotations

from dataclasses import replace

from kerastl.data.csv_table import Table
from kerastl.data.understanding import LeftOut
from kerastl.internals.printable import printable

LEAVE_OUT, LOOK, KEEP = "leave out", "look", "keep"
ACTIONS = (LEAVE_OUT, LOOK, KEEP)
"""What is proposed for an image: not to use it, to look at it, nothing."""

_COLUMN = "action"
_MOST_EXAMPLES = 3


def of_actions(table: Table, path: str, *others: str) -> tuple[Table, tuple[LeftOut, ...]]:
    """The table without the images that it says to leave out, and each other one once.

    A table of findings has a row for each, so an image may come several times.
    A column `action` of other words is none of these and does nothing.

    Args:
        table: The table.
        path: Its column of paths.
        others: The columns of labels, parts and groups: none of them is meant.

    Returns:
        The rows that are left, and what was left out.
    """
    column = table.usual((_COLUMN,))
    if column is None or column in (path, *others):
        return table, ()
    actions = [cell.casefold() for cell in table.cells(column)]
    if not set(actions) <= {*ACTIONS, ""} or not set(actions) & set(ACTIONS):
        return table, ()
    paths = table.cells(path)
    unwanted = {name for name, action in zip(paths, actions, strict=True) if action == LEAVE_OUT}
    positions = [table.names.index(name) for name in (path, *others)]
    kept: dict[tuple[str, ...], int] = {}
    for number, (name, row) in enumerate(zip(paths, table.rows, strict=True)):
        if name not in unwanted:
            kept.setdefault(tuple(row[position] for position in positions), number)
    numbers = sorted(kept.values())
    left = replace(
        table,
        rows=tuple(table.rows[number] for number in numbers),
        lines=tuple(table.lines[number] for number in numbers),
    )
    if not unwanted:
        return left, ()
    examples = tuple(printable(name) for name in sorted(unwanted)[:_MOST_EXAMPLES])
    return left, (LeftOut("image that the table says to leave out", len(unwanted), examples),)
