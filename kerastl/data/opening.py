"""What is asked of an image file before it is decoded: a regular file, and not too many pixels."""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from PIL import Image

PIXELS_VARIABLE = "KERASTL_MAX_PIXELS"

# Pictures of more pixels are decoded one at a time, whatever the number of threads.
_LARGE = 1 << 25
_one_at_a_time = threading.Lock()

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@contextlib.contextmanager
def regular_file(source: Path | bytes) -> Iterator[IO[bytes]]:
    """A file that is open for reading, or content as if it were one.

    Raises:
        OSError: If it is not there or no regular file; a pipe is not waited for.
    """
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    mode = os.stat(source).st_mode
    if not stat.S_ISREG(mode):
        kind = next((words for is_kind, words in _KINDS if is_kind(mode)), "something else")
        raise OSError(f"it is {kind}, and no regular file")
    with open(source, "rb") as file:
        yield file


@contextlib.contextmanager
def pixel_limit_stated() -> Iterator[None]:
    """Says in one sentence what Pillow refuses for its number of pixels.

    The bound is Pillow's own, or `KERASTL_MAX_PIXELS`.

    Raises:
        ValueError: If there are too many, or if the variable is no number.
    """
    _set_pixel_limit()
    try:
        yield
    except Image.DecompressionBombError as error:
        numbers = [f"{int(number):,}" for number in re.findall(r"\d+", str(error))]
        found, most = (*numbers, "more pixels than allowed", "allowed")[:2]
        raise ValueError(
            f"an image must have at most {most} pixels, and this one has {found}; make it "
            f"smaller, or set the environment variable {PIXELS_VARIABLE} to a larger number"
        ) from None


def in_turn(pixels: int) -> contextlib.AbstractContextManager[object]:
    """Waits until no other thread decodes a picture that is as large as this one.

    Args:
        pixels: How many will be decoded.
    """
    return _one_at_a_time if pixels > _LARGE else contextlib.nullcontext()


def _set_pixel_limit() -> None:
    wanted = os.environ.get(PIXELS_VARIABLE)
    if wanted is None:
        return
    if not wanted.isdecimal() or int(wanted) < 1:
        raise ValueError(
            f"the environment variable {PIXELS_VARIABLE} must be a number of pixels, 1 or more; "
            f"it is {wanted!r}"
        )
    # Pillow refuses from twice this number on.
    Image.MAX_IMAGE_PIXELS = max(1, int(wanted) // 2)
