"""One process at a time in a folder: a lock of the operating system, which ends with the process.

POSIX record locks are taken (`lockf`): worker processes, which are forked, do not inherit them, and
network file systems know them. On Windows it is a locked byte. A file system without locks is used
without one.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from kerastl.errors import FolderInUseError

LOCK_FILE = ".lock"
# Far behind what the file says: on Windows a locked byte cannot be read.
_LOCKED_BYTE = 1 << 30
_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)
_TRIES = 100


@dataclass(frozen=True)
class _Held:
    """A folder that this process holds, the thread that does, and the open lock file."""

    thread: int
    file: int


_held: dict[Path, _Held] = {}
_guard = threading.Lock()


@contextlib.contextmanager
def holding(folder: Path, *, create: bool = True) -> Iterator[None]:
    """Hold a folder: no other process does so within the block, and no other thread.

    The thread that holds a folder may hold it again. The folder is made where it is not there;
    at the end it goes again if it is empty.

    Args:
        folder: The folder.
        create: Whether it is made. If not, one that is not there is not held.

    Raises:
        FolderInUseError: If another process or thread holds it; says which, and since when.
        OSError: If the folder cannot be written.
    """
    place = Path(os.path.realpath(folder))
    if not create and not place.is_dir():
        yield
        return
    with _guard:
        before = _held.get(place)
        if before is not None and before.thread != threading.get_ident():
            raise _in_use(folder, f"another thread of this process ({os.getpid()}) uses")
        if before is None:
            made = _missing(place)
            _held[place] = _Held(threading.get_ident(), _acquired(place, folder))
    if before is not None:
        yield
        return
    try:
        yield
    finally:
        with _guard:
            _release(place, _held.pop(place).file, made)


def check_held(folder: Path) -> None:
    """Refuse to go on in a folder that was held and has been removed or replaced since.

    Args:
        folder: One that is held, or is below one that is; any other passes.

    Raises:
        OSError: If so.
    """
    place = Path(os.path.realpath(folder))
    for each in (place, *place.parents):
        if each in _held and not _is_there(each / LOCK_FILE, _held[each].file):
            raise OSError(
                f"The folder of a run must stay while it is running. Received: {each}, which has "
                "been removed or replaced since the run began. Run anew, in another folder."
            )


def _acquired(place: Path, named: Path) -> int:
    """The open lock file, locked."""
    path = place / LOCK_FILE
    for _ in range(_TRIES):
        try:
            place.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # a process that ended just now has removed the folder
            continue
        except OSError as error:
            error.filename = str(named)
            raise
        if not _lock(file):
            holder = _holder(file)
            os.close(file)
            raise _in_use(named, f"{holder} uses")
        if _is_there(path, file):
            _write_holder(file)
            return file
        os.close(file)  # the file of a process that ended just now
    raise _in_use(named, "other processes start and end to use")


def _release(place: Path, file: int, made: list[Path]) -> None:
    path = place / LOCK_FILE
    is_ours = _is_there(path, file)
    if os.name != "posix":  # Windows removes no open file
        os.close(file)
    with contextlib.suppress(OSError):
        if is_ours:
            path.unlink()
        for folder in made:
            folder.rmdir()
    if os.name == "posix":
        os.close(file)


def _missing(folder: Path) -> list[Path]:
    """The folders that are to be made for this one, the innermost first."""
    return [each for each in (folder, *folder.parents) if not each.exists()]


def _is_there(path: Path, file: int) -> bool:
    """Whether an open file is still the one of this name."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except OSError:
        return False


def _lock(file: int) -> bool:
    """Lock an open file; False where another process has."""
    try:
        if os.name == "posix":
            import fcntl

            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            os.lseek(file, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return True
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        raise
    return True


def _write_holder(file: int) -> None:
    about = {
        "process": os.getpid(),
        "host": platform.node(),
        "since": datetime.now().astimezone().isoformat(" ", "seconds"),
    }
    with contextlib.suppress(OSError):  # on a full disk the lock holds all the same
        os.ftruncate(file, 0)
        os.lseek(file, 0, os.SEEK_SET)
        os.write(file, json.dumps(about).encode())


def _holder(file: int) -> str:
    """Who holds a lock file, in words; it may be about to write that down."""
    for _ in range(5):
        try:
            os.lseek(file, 0, os.SEEK_SET)
            about = json.loads(os.read(file, 4096))
            return f"since {about['since']} process {about['process']} on {about['host']}"
        except (OSError, ValueError, KeyError, TypeError):
            time.sleep(0.05)
    return "another process"


def _in_use(folder: Path, who: str) -> FolderInUseError:
    return FolderInUseError(
        f"A run folder must be used by one process at a time. Received: {folder}, which {who}. "
        "Wait for its end, stop it, or name another folder."
    )
