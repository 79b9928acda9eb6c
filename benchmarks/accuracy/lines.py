"""Results as JSON lines: each is written once measured, and never measured twice."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class Lines:
    """The rows of a file, which a cut run leaves whole.

    Args:
        file: JSON lines, made at the first row. None: nothing is kept.
        names: The fields that say what was measured.
    """

    def __init__(self, file: Path | None, names: Iterable[str]) -> None:
        self._file = file
        self._names = tuple(names)
        text = file.read_text(encoding="utf-8") if file is not None and file.is_file() else ""
        # The last line of a run that was cut while writing has no end.
        whole = text[: text.rfind("\n") + 1]
        self._rows = {self._key(row): row for row in map(json.loads, whole.splitlines())}
        if whole != text and file is not None:
            file.write_text(whole, encoding="utf-8")

    def find(self, about: Mapping[str, Any]) -> Row | None:
        """The row that was measured of this, or None."""
        return self._rows.get(self._key(about))

    def add(self, row: Row) -> None:
        """Keep a row."""
        self._rows[self._key(row)] = row
        if self._file is not None:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    def _key(self, row: Mapping[str, Any]) -> str:
        return json.dumps([row[name] for name in self._names], sort_keys=True)
