"""Output that nobody reads is dropped: a closed stderr or a broken pipe ends no training."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import Any

# A pipe without a reader, a terminal that is gone, a descriptor that is closed; EINVAL on Windows.
_NO_READER = (errno.EPIPE, errno.EIO, errno.EBADF, errno.ECONNRESET, errno.ESHUTDOWN, errno.EINVAL)
_STANDARD = {"stdin": 0, "stdout": 1, "stderr": 2}


def drop_unread_output(*, results: bool = True) -> None:
    """Let this process go on when what it prints cannot be written any more.

    A standard stream that is closed from the start is opened on the null device; or else the next
    file that is opened, a checkpoint say, would get its number, and with it what libraries print.
    A stream that was put in the place of the process's own, as tests do, stays as it is.

    Args:
        results: Whether that holds for stdout too; on a full disk stdout is an error all the same.
    """
    for name, number in _STANDARD.items():
        if getattr(sys, name) is None:
            _open_closed(name, number)
    for name in ("stdout", "stderr") if results else ("stderr",):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__") and isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(OSError):
                setattr(sys, name, _unbreakable(stream, every_error=name == "stderr"))


class UnreadOutput(io.RawIOBase):
    """A descriptor to write to; once nobody can get what is written, it goes nowhere.

    Args:
        number: The descriptor.
        every_error: Whether a full disk is such a case too.
    """

    def __init__(self, number: int, *, every_error: bool) -> None:
        super().__init__()
        self._number = number
        self._every_error = every_error

    def write(self, data: Any) -> int | None:
        try:
            return os.write(self._number, data)
        except BlockingIOError:
            # A pipe that is full and must not be waited for.
            return memoryview(data).nbytes if self._every_error else None
        except OSError as error:
            if not self._every_error and error.errno not in _NO_READER:
                raise
            _to_nowhere(self._number)  # for what is not written by Python too
            return memoryview(data).nbytes

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)


def _unbreakable(stream: io.TextIOWrapper, *, every_error: bool) -> io.TextIOWrapper:
    with contextlib.suppress(OSError):
        stream.flush()
    raw = UnreadOutput(stream.fileno(), every_error=every_error)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _open_closed(name: str, number: int) -> None:
    """Open a closed standard stream on the null device, under its own number if that is free."""
    try:
        os.fstat(number)
    except OSError:
        _to_nowhere(number)
    # It stays open to the end of the process.
    stream = open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8")  # noqa: SIM115
    setattr(sys, name, stream)


def _to_nowhere(number: int) -> None:
    with contextlib.suppress(OSError):
        null = os.open(os.devnull, os.O_RDWR)
        if null != number:
            os.dup2(null, number)
            os.close(null)
