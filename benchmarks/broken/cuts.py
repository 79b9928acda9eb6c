"""What transfers, disks and careless scripts do to a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Cut = Callable[[bytes, bytes, bytes], bytes]

BLEND = "tail of another"

CUTS: dict[str, Cut] = {
    "tail zeroed": lambda whole, other, ending: (
        whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2)
    ),
    "tail removed": lambda whole, other, ending: whole[: len(whole) // 2],
    "tail removed, end put": lambda whole, other, ending: whole[: len(whole) * 3 // 5] + ending,
    "middle zeroed": lambda whole, other, ending: (
        whole[: len(whole) * 2 // 5]
        + bytes(len(whole) * 3 // 5 - len(whole) * 2 // 5)
        + whole[len(whole) * 3 // 5 :]
    ),
    BLEND: lambda whole, other, ending: whole[: len(whole) // 2] + other[len(other) // 2 :],
}
"""By name: of a whole file, another one of the same kind, and the bytes that end a file."""


def cut_files(variant: Any, whole: bytes, other: bytes) -> dict[str, bytes]:
    """A file cut in every way.

    Args:
        variant: How it is written.
        whole: Its content.
        other: That of another picture.
    """
    return {
        name: cut(whole, other, variant.ending)
        for name, cut in CUTS.items()
        if variant.ending or "end put" not in name
    }
