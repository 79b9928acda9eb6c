"""One rate for all blocks: every optimizer of Keras gives what it gives in plain Keras."""

import optimizer_table
import plain_keras
import pytest

STEPS, TOLERANCE = 7, 1e-6


def worst_of(rows) -> list[tuple[float, str]]:
    """The difference to plain Keras of each row, the largest first."""
    found = []
    for row in rows:
        make = optimizer_table.maker(*row)
        plain, _ = plain_keras.by_plain_keras(make, STEPS)
        ours, _ = plain_keras.by_kerastl(make, STEPS)
        found.append((plain_keras.difference(ours, plain), " | ".join(row)))
    return sorted(found, reverse=True)


def test_every_optimizer_is_plain_keras():
    rows = worst_of(optimizer_table.some_rows())
    assert [row for row in rows if not row[0] <= TOLERANCE] == []


@pytest.mark.slow
def test_the_whole_table_is_plain_keras():
    rows = worst_of(optimizer_table.every_row())
    print(f"{len(rows)} rows, largest difference {rows[0]}")
    assert [row for row in rows if not row[0] <= TOLERANCE] == []
