"""Files and folders that are there whole or not at all, and a full disk told in one sentence.

Everything is written below a folder of its own beside its place, flushed to the disk, renamed,
and the rename is flushed too. What a killed process leaves is in that folder, whatever the
writer has made there besides.
"""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

UNFINISHED = ".unfinished-"
_OWNED = re.compile(re.escape(UNFINISHED) + r"(\d+)-([\w.]+)-[0-9a-f]{8}")
# What safetensors 0.8 writes to before it renames.
_SAFETENSORS_REST = re.compile(r"\.tmp[A-Za-z0-9]{6}")
# How libraries in Rust, and HDF5, say which error of the system they met.
_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)|errno = (\d+)")


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file so that it is there whole or not at all.

    Args:
        path: Where the file goes; what was there stays until the new one is
            complete.
        write: Writes to the path that it is given, of the same name in a
            folder of its own on the same disk.

    Raises:
        OSError: If the disk is full, in one sentence; or for any other reason.
    """
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
    if path.exists() and not path.is_file():  # a device or a pipe, as in /dev/stdout
        write(path)
        return
    with telling_a_full_disk(path), unfinished_folder(path.parent) as folder:
        write(folder / path.name)
        publish(folder / path.name, path)


@contextlib.contextmanager
def unfinished_folder(parent: Path) -> Iterator[Path]:
    """A folder to write in, which is removed at the end, or by `remove_unfinished` after a kill.

    Args:
        parent: Where it is made: beside what is to be written.
    """
    folder = parent / f"{UNFINISHED}{os.getpid()}-{_host()}-{secrets.token_hex(4)}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(unfinished: Path, target: Path) -> None:
    """Put what is finished in its place: flushed, renamed, and the rename flushed.

    Args:
        unfinished: A file or folder in an `unfinished_folder` beside `target`.
        target: Its place. A file there is replaced in one step; a folder is moved aside first,
            since no system replaces one folder by another.
    """
    _flush(unfinished)  # or a power cut could leave the name on an empty file
    if unfinished.is_dir() and target.exists():
        target.rename(unfinished.with_name("replaced"))
    os.replace(unfinished, target)
    _flush_folder(target.parent)


def remove_unfinished(folder: Path, *, of_others_after: float = 0.0) -> None:
    """Remove what processes that were killed have left half written.

    What a process of this machine is writing just now stays.

    Args:
        folder: Where it lies; what is below its folders stays.
        of_others_after: Seconds after which what another machine has written is taken for left.
    """
    for path in folder.glob(f"{UNFINISHED}*"):
        if _is_left(path, of_others_after):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def remove_rest_of_safetensors(folder: Path) -> None:
    """Remove what versions before 0.2 let a killed process leave; for a folder that is held."""
    for path in folder.glob(".tmp*"):
        if _SAFETENSORS_REST.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def telling_a_full_disk(path: Path) -> Iterator[None]:
    """Say in one sentence that the disk is full, where that is why `path` cannot be written."""
    try:
        yield
    except Exception as error:
        told = _system_error(error)
        number = told or getattr(error, "errno", None)
        if number in (errno.ENOSPC, errno.EDQUOT):
            raise no_space(path) from error
        if told is not None:
            raise OSError(told, os.strerror(told), str(path)) from error
        if isinstance(error, OSError) and UNFINISHED in str(error.filename):
            error.filename, error.filename2 = str(path), None
        raise


def no_space(path: Path) -> OSError:
    """The error for a disk that is full."""
    return OSError(
        errno.ENOSPC,
        "No space left on the disk for this file. Free some, or name an `output` folder on "
        "another disk",
        str(path),
    )


def _system_error(error: Exception) -> int | None:
    """Number of the system's error that a library has put into words; None: it was another."""
    found = _SYSTEM_ERROR.search(str(error))
    return int(found[1] or found[2]) if found else None


def _is_left(path: Path, of_others_after: float) -> bool:
    """Whether no process writes there any more."""
    try:
        changed = path.stat().st_mtime
    except OSError:
        return False
    owner = _OWNED.fullmatch(path.name)
    if owner is None or owner[2] != _host():
        return time.time() - changed >= of_others_after
    return not _is_running(int(owner[1]), since=changed)


def _is_running(process: int, *, since: float) -> bool:
    """Whether a process runs, and not another that has got its number after `since`."""
    import psutil

    try:
        return bool(psutil.Process(process).create_time() <= since + 1)
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True


def _host() -> str:
    return re.sub(r"[^\w.]", "_", platform.node())[:40] or "here"


def _flush(path: Path) -> None:
    if not path.is_dir():
        with path.open("rb+") as file:
            os.fsync(file.fileno())
        return
    for each in path.iterdir():
        _flush(each)
    _flush_folder(path)


def _flush_folder(folder: Path) -> None:
    if os.name != "posix":  # Windows opens no folders
        return
    with contextlib.suppress(OSError):  # some network file systems flush none
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
