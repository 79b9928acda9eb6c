"""Look weights files of Keras through before `load_weights` reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kerastl.internals.hdf5 import check_hdf5_file
from kerastl.model.archive import looked_through


def check_weights_file(filepath: Any) -> None:
    """Refuse a weights file that is damaged, or that reads other files of this machine.

    What is no such file is Keras's to refuse.

    Args:
        filepath: What `load_weights` was given: `.weights.h5`, an older `.h5`,
            `.keras`, or the `.weights.json` of a file in pieces.

    Raises:
        DamagedFileError: If so.
    """
    try:
        file = Path(filepath)
    except TypeError:
        return
    if not file.is_file():
        return
    if file.suffix in (".h5", ".hdf5"):
        check_hdf5_file(file)
    elif file.suffix == ".keras":
        looked_through(file)
    elif file.name.endswith(".weights.json"):
        for piece in _pieces(file):
            if piece.is_file():
                check_hdf5_file(piece)


def _pieces(file: Path) -> set[Path]:
    try:
        by_name = json.loads(file.read_text(encoding="utf-8"))["weight_map"].values()
        names = {name for each in by_name for name in ([each] if isinstance(each, str) else each)}
        return {file.with_name(name) for name in names}
    except (ValueError, TypeError, LookupError, AttributeError):
        return set()
