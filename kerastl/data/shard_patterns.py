"""Names of shards: braces such as `{000..099}` and `{a,b}`, and globs. Imports nothing heavy.

The braces are those of shells, which webdataset takes too. They stand for shards that must
all be there, so a missing one is told; what a glob finds is what there is.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_SPECIAL = re.compile(r"[{*\[]")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_MOST_LISTED = 3


def shard_files(pattern: str) -> list[Path]:
    """The files that a pattern names, each once: braces in their order, globs sorted.

    Args:
        pattern: A path with braces, `*` and `[...]`.

    Raises:
        ValueError: If there is no such file, if one that braces name is not
            there, or if the pattern is an address or a command.
    """
    if _ADDRESS.match(pattern):
        raise ValueError(
            f"The shards of a wds spec must be files of this machine, whose samples are read by "
            f"their places. Received: {pattern!r}. Copy them here, or mount the storage that "
            "holds them, and name that path."
        )
    found: list[Path] = []
    missing = []
    for name in expanded(os.path.expanduser(pattern)):
        if _SPECIAL.search(name):
            found += [Path(path) for path in sorted(glob.glob(name))]
        elif os.path.isfile(name):
            found.append(Path(name))
        else:
            missing.append(name)
    if missing or not found:
        raise ValueError(
            f"Every shard that {pattern!r} names must be a file. Received: "
            f"{_missing(missing) if missing else 'no file of such a name'}. "
            "Mend the pattern, or fetch the shards."
        )
    return list(dict.fromkeys(found))


def expanded(pattern: str) -> list[str]:
    """The names that the braces of a pattern stand for, in order.

    Example:

    >>> expanded("a-{08..10}.tar"), expanded("{train,val{0..1}}.tar")
    (['a-08.tar', 'a-09.tar', 'a-10.tar'], ['train.tar', 'val0.tar', 'val1.tar'])
    """
    for found in _BRACES.finditer(pattern):
        if options := _options(found[1]):
            before, after = pattern[: found.start()], pattern[found.end() :]
            names = [name for option in options for name in expanded(f"{before}{option}{after}")]
            return list(dict.fromkeys(names))
    return [pattern]


def folder_of(pattern: str) -> Path:
    """The folder that a pattern begins with, before any braces or glob.

    Example:

    >>> folder_of("/data/set-{a,b}/train-*.tar").as_posix(), folder_of("a.tar").as_posix()
    ('/data', '.')
    """
    special = _SPECIAL.search(pattern)
    return Path(os.path.dirname(pattern[: special.start()] if special else pattern))


def _options(inside: str) -> list[str]:
    """What one pair of braces stands for; nothing where they are part of the name."""
    if numbers := _RANGE.fullmatch(inside):
        first, last = numbers.groups()
        width = max(map(len, numbers.groups())) if first[0] == "0" or last[0] == "0" else 0
        start, stop = int(first), int(last)
        step = 1 if start <= stop else -1
        return [f"{number:0{width}d}" for number in range(start, stop + step, step)]
    return inside.split(",") if "," in inside else []


def _missing(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_LISTED:,} more" if len(names) > _MOST_LISTED else ""
    return f"no file {', '.join(map(repr, names[:_MOST_LISTED]))}{more}"
