"""Names of files as text that every file and terminal takes."""

from __future__ import annotations

import os


def printable(name: str | os.PathLike[str]) -> str:
    r"""A name whose bytes are no UTF-8 with those bytes as `\xNN`, any other as it is.

    Python keeps such bytes as lone surrogates, which no text file in UTF-8 can hold.

    Example:

    >>> print(printable("caf\udce9.png"))
    caf\xe9.png
    >>> printable("café.png")
    'café.png'
    """
    text = os.fspath(name)
    if text.isascii():
        return text
    raw = text.encode("utf-8", "surrogateescape" if os.name == "posix" else "surrogatepass")
    return raw.decode("utf-8", "backslashreplace")
