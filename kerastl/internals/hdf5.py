"""HDF5 files from others: what would read another file, or more memory than there is file.

An HDF5 file may say that a dataset's numbers, or a whole group, are in another
file of this machine. Whoever reads the dataset gets the content of that file,
and a model that is saved afterwards carries it away. No weights need it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kerastl.errors import DamagedFileError

MOST_EXPANSION = 20
"""How many times its size in a file something may take in memory."""
FREE_BYTES = 2**24
"""What may be taken whatever the file's size."""

# Deflate, shuffle, Fletcher's checksum, szip, n-bit, scale-offset, LZF: h5py brings these. Any
# other filter is a library to load.
_OWN_FILTERS = {1, 2, 3, 4, 5, 6, 32000}
_DEEPEST = 100

FAULTS = (OSError, RuntimeError, KeyError, TypeError, AttributeError, UnicodeError, OverflowError)
"""What h5py raises where an HDF5 file is damaged; it raises ValueErrors too."""


def check_hdf5(opened: Any, name: str, *, size: int) -> None:
    """Refuse an HDF5 file that reads other files, or that grows beyond bounds.

    Args:
        opened: The `h5py.File`, nothing of it read yet.
        name: What the user calls it, for what is said.
        size: Of the file, bytes.

    Raises:
        DamagedFileError: Naming the entry and what is wrong with it.
    """
    total = 0
    for path, dataset in _datasets(opened, name):
        total += _bytes_of(dataset, path, name)
    if total > allowed_bytes(size):
        raise DamagedFileError(
            f"{name} must not grow more than {MOST_EXPANSION} times when it is read. Received: "
            f"{total / 1e6:,.0f} MB in {size / 1e6:,.1f} MB. It is damaged, or made to fill the "
            "memory. Do not use it."
        )


def allowed_bytes(size: int) -> int:
    """Most bytes that something of `size` bytes in a file may take in memory."""
    return FREE_BYTES + MOST_EXPANSION * size


def check_hdf5_file(path: Path) -> None:
    """As `check_hdf5`, of a file.

    Raises:
        DamagedFileError: As `check_hdf5` does, and where the file cannot be read.
    """
    import h5py

    try:
        with h5py.File(path, "r") as opened:
            check_hdf5(opened, str(path), size=path.stat().st_size)
    except PermissionError:
        raise
    except DamagedFileError:
        raise
    except (*FAULTS, ValueError) as error:
        raise DamagedFileError(f"{path} is damaged: {error}. Get it anew.") from error


def shapes(opened: Any, name: str) -> dict[str, tuple[int, ...]]:
    """Shape of every dataset of a file by its path; follows no link out of it."""
    return {path: tuple(dataset.shape or ()) for path, dataset in _datasets(opened, name)}


def _datasets(opened: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every dataset once, with its path; refuses every kind of link that is not a plain entry."""
    import h5py

    seen = {h5py.h5o.get_info(opened.id).addr}
    waiting = [("", opened)]
    while waiting:
        path, group = waiting.pop()
        for key in group:
            entry = f"{path}/{key}".lstrip("/")
            link = group.get(key, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise _unsafe(name, entry, f"a {type(link).__name__}")
            value = group[key]
            address = h5py.h5o.get_info(value.id).addr
            if address in seen:  # a second name, or a ring
                raise _unsafe(name, entry, "a second name of another entry")
            seen.add(address)
            if isinstance(value, h5py.Group):
                if entry.count("/") > _DEEPEST:
                    raise _unsafe(name, entry, f"a group more than {_DEEPEST} deep")
                waiting.append((entry, value))
            elif isinstance(value, h5py.Dataset):
                yield entry, value


def _bytes_of(dataset: Any, path: str, name: str) -> int:
    import h5py

    if dataset.external:
        raise _unsafe(name, path, f"numbers in another file ({dataset.external[0][0]})")
    if dataset.is_virtual:
        raise _unsafe(name, path, "a virtual dataset, whose numbers are in other files")
    if h5py.check_ref_dtype(dataset.dtype) is not None:
        raise _unsafe(name, path, "references")
    plist = dataset.id.get_create_plist()
    filters = {plist.get_filter(number)[0] for number in range(plist.get_nfilters())}
    if filters - _OWN_FILTERS:
        raise _unsafe(name, path, f"the filter {min(filters - _OWN_FILTERS)}, a library to load")
    return math.prod(dataset.shape or ()) * dataset.dtype.itemsize


def _unsafe(name: str, path: str, what: str) -> DamagedFileError:
    return DamagedFileError(
        f"{name} must hold its own numbers, each under one name. Received: {path or '/'!r}, "
        f"{what}. No weights need that: it is damaged, or made to read files of this machine. "
        "Do not use it."
    )
