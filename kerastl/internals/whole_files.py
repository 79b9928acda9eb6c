"""Files that are there whole or not at all, and a full disk told in one sentence."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

UNFINISHED = ".unfinished-"


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file so that it is there whole or not at all.

    Args:
        path: Where the file goes; what was there stays until the new one is
            complete.
        write: Writes to the path that it is given, in the same folder and
            with the same ending.

    Raises:
        OSError: If the disk is full, in one sentence; or for any other reason.
    """
    unfinished = path.with_name(f"{UNFINISHED}{os.getpid()}-{path.name}")
    try:
        with telling_a_full_disk(path):
            write(unfinished)
            with unfinished.open("rb+") as file:
                os.fsync(file.fileno())  # or a power cut could leave the name on an empty file
            os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Remove what a process that was killed has left half written."""
    for path in folder.glob(f"{UNFINISHED}*"):
        if path.is_file():
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def telling_a_full_disk(path: Path) -> Iterator[None]:
    """Say in one sentence that the disk is full, where that is why `path` cannot be written."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise no_space(path) from error
        raise


def no_space(path: Path) -> OSError:
    """The error for a disk that is full."""
    return OSError(
        errno.ENOSPC,
        "No space left on the disk for this file. Free some, or name an `output` folder on "
        "another disk",
        str(path),
    )
