"""Folders whose names and contents contradict what they would be taken for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from kerastl.data.part_names import says_a_part
from kerastl.data.peeking import Peeking, listed
from kerastl.data.skipping import says_masks


def refuse_unused_parts(
    root: Path, unused: Sequence[Path], classes: Collection[str], peek: Peeking
) -> None:
    """Refuse folders that hold the classes and are called parts, but are used as none.

    Args:
        root: The folder that holds them.
        unused: Folders that are no parts.
        classes: The names of the classes.
        peek: Looks into folders.
    """
    parts = [
        path
        for path in unused
        if says_a_part(path.name)
        and not says_masks(path.name)
        and _names_within(path, peek).intersection(classes)
    ]
    if parts:
        raise ValueError(
            f"The folder {str(root)!r} holds {listed(parts)} with folders of the same classes, and "
            "it cannot be told which part that is. Call the parts train/, val/ and test/ and move "
            "the others out of the folder, or list the images of each part in a table: csv:FILE."
        )


def _names_within(folder: Path, peek: Peeking) -> set[str]:
    """The names of the folders in a folder, and in the only one there."""
    inner = peek(folder)
    return inner.names | (peek(inner.folders[0]).names if len(inner.folders) == 1 else set())
