"""What the C library's heap holds for later, where it is glibc's."""

from __future__ import annotations

import ctypes
import functools
from typing import Any


def trim() -> None:
    """Give the system back what is free in the heap; elsewhere than on glibc nothing."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def free_bytes() -> int:
    """Bytes of the heap that are free, and that a limit of the process counts as taken."""
    library = _glibc()
    return 0 if library is None else int(library.mallinfo2().free)


class _Info(ctypes.Structure):
    """`struct mallinfo2`: ten sizes, of which `fordblks` is the ninth."""

    _fields_ = (
        ("before", ctypes.c_size_t * 8),
        ("free", ctypes.c_size_t),
        ("top", ctypes.c_size_t),
    )


@functools.cache
def _glibc() -> Any:
    try:
        library = ctypes.CDLL(None)
        library.mallinfo2.restype = _Info
        library.malloc_trim.argtypes = (ctypes.c_size_t,)
    except (OSError, AttributeError, TypeError):  # another library, one before 2.33, or Windows
        return None
    return library
