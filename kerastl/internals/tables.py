"""Text tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence


def align(rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Rows of cells as lines with straight columns.

    Args:
        rows: Cells; the first row is the header.
        right: Columns to align to the right, counted from 0.

    Example:

    >>> print(align([("block", "n"), ("stem", "64")], right=[1]))
    block   n
    stem   64
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(widths[i]) if i in right else cell.ljust(widths[i])
            for i, cell in enumerate(row)
        ).rstrip()
        for row in rows
    )
