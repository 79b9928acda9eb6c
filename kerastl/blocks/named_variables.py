"""A block's variables under the names that torch gives them, in a file and out of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras


def flat_name(name: str) -> str:
    """A qualified torch name as a variable's: Keras takes no dots in some places."""
    return name.replace(".", "-")


def save_named(named: Mapping[str, keras.Variable], store: Any) -> None:
    """Write every variable under its torch name."""
    for name, variable in named.items():
        store[name] = keras.ops.convert_to_numpy(variable)


def load_named(named: Mapping[str, keras.Variable], store: Any, *, block: str) -> None:
    """Read every variable by its torch name.

    Raises:
        ValueError: If the file has not the same names.
    """
    missing = [name for name in named if name not in store]
    if missing or len(store.keys()) != len(named):
        raise ValueError(
            f"Block {block!r} must find its {len(named)} variables in the file. "
            f"Received: {len(store.keys())}, missing {', '.join(missing[:5]) or 'none'}. "
            "The file is of another backbone."
        )
    for name, variable in named.items():
        variable.assign(store[name])
