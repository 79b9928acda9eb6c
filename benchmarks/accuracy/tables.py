"""The table, and whether `auto` is behind a rival. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from benchmarks.accuracy.rows import AUTO, ROWS

_CONFIDENCE = 0.95

Row = Mapping[str, Any]


def table(rows: Sequence[Row]) -> str:
    """Accuracy in per cent, mean and standard deviation over seeds, and mean seconds.

    Example:

    >>> row = {"data": "digits", "per_class": 5, "row": "auto", "seconds": 3.0}
    >>> rows = [row | {"seed": 0, "accuracy": 0.5}, row | {"seed": 1, "accuracy": 0.7}]
    >>> print(table(rows))
    | row | digits, 5 per class |
    |---|---:|
    | auto | 60.0 ± 14.1 (3 s) |
    """
    columns = _settings(rows)
    head = " | ".join(f"{_short(data)}, {count} per class" for data, count in columns)
    lines = [f"| row | {head} |", "|---|" + "---:|" * len(columns)]
    for name in ROWS:
        cells = [_cell(_of(rows, column, name)) for column in columns]
        if set(cells) != {"-"}:
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def check_goal(rows: Sequence[Row]) -> list[str]:
    """A sentence for each rival and setting that `auto` is behind of, by more than the noise.

    The differences are paired: of the same images and the same seed. Noise is what a
    one-sided t-test at 95 % takes for it; one seed cannot tell.
    """
    found = list(_behind(rows))
    if found:
        return found
    return [f"{AUTO} is behind no rival by more than the noise."]


def _behind(rows: Sequence[Row]) -> Iterator[str]:
    from scipy.stats import t

    for data, count in _settings(rows):
        ours = {row["seed"]: row["accuracy"] for row in _of(rows, (data, count), AUTO)}
        for name, kind in ROWS.items():
            rivals = _of(rows, (data, count), name)
            gaps = [
                100 * (row["accuracy"] - ours[row["seed"]]) for row in rivals if row["seed"] in ours
            ]
            if kind.is_ours or len(gaps) < 2:
                continue
            noise = t.ppf(_CONFIDENCE, len(gaps) - 1) * stdev(gaps) / len(gaps) ** 0.5
            if mean(gaps) > max(noise, 0):
                yield (
                    f"{_short(data)}, {count} per class: {AUTO} is {mean(gaps):.1f} points behind "
                    f"{name} over {len(gaps)} seeds, and the noise is {noise:.1f}."
                )


def _settings(rows: Sequence[Row]) -> list[tuple[str, int]]:
    return list(dict.fromkeys((row["data"], row["per_class"]) for row in rows))


def _of(rows: Sequence[Row], setting: tuple[str, int], name: str) -> list[Row]:
    return [row for row in rows if (row["data"], row["per_class"], row["row"]) == (*setting, name)]


def _cell(rows: Sequence[Row]) -> str:
    if not rows:
        return "-"
    accuracies = [100 * row["accuracy"] for row in rows]
    spread = f" ± {stdev(accuracies):.1f}" if len(accuracies) > 1 else ""
    return f"{mean(accuracies):.1f}{spread} ({mean(row['seconds'] for row in rows):.0f} s)"


def _short(data: str) -> str:
    return data.rstrip("/").rpartition("/")[2]
