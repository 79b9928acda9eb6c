"""How many of the 16 bits of grey images are in use: those of cameras and scanners use 10 to 14."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from kerastl.data.decoding import FULL_WHITE, is_sixteen_bit, quiet_decoding
from kerastl.data.formats import readable_formats
from kerastl.data.items import ImageItems, SourceData
from kerastl.data.opening import regular_file
from kerastl.data.stored_items import EncodedItems

_WHITES = (255, 1023, 4095, 16383)
_PROBED = 32
_MOST_READ = 5000
_MOST_THREADS = 8
_PNG = b"\x89PNG\r\n\x1a\n"
# Of 14 bits and fewer the high byte is below this.
_DARK = 64

_Image = tuple[EncodedItems, int]


def white_of(data: SourceData) -> int | None:
    """The value of 16-bit grey that is white in a set: the end of the least range it fits into.

    Some files of each part are opened, and of a set that has 16-bit ones every
    file of that kind is read, up to 5,000 of them.

    Args:
        data: The images.

    Returns:
        255, 1023, 4095, 16383 or 65535; None where no 16-bit image was seen.
    """
    with quiet_decoding(), ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as threads:
        if not any(threads.map(_is_sixteen_bit, _spread(data.parts, _PROBED))):
            return None
        highest = max(threads.map(_highest, _spread(data.parts, _MOST_READ)))
    if highest <= 0:  # black, or broken
        return None
    return next((white for white in _WHITES if highest <= white), FULL_WHITE)


def white_notes(white: int | None) -> list[str]:
    """What to know of the range of 16-bit images, one sentence each."""
    if white in (None, FULL_WHITE):
        return []
    bits = int(white or 0).bit_length()
    return [
        f"The 16-bit images use {bits} bits, 0-{white}: {white} becomes white, here and in "
        "whatever the model sees later."
    ]


def dark_color_warning(data: SourceData) -> str | None:
    """A warning of 16-bit colour images that use fewer bits: Pillow keeps the high byte alone.

    Args:
        data: The images.
    """
    deep = [image for image in _spread(data.parts, _PROBED) if _is_deep_color(image)]
    if not deep:
        return None
    with quiet_decoding():
        highest = max(map(_highest_color, deep))
    if not 0 <= highest < _DARK:
        return None
    return (
        f"16-bit colour images such as {_shown(deep[0])} come out nearly black, {highest} of 255 "
        "at most: they use few of their bits, and only the high byte is read. Save them with 8 "
        "bits per channel."
    )


def _shown(image: _Image) -> str:
    items, index = image
    return Path(items.name(index)).name


@contextlib.contextmanager
def _opened(image: _Image) -> Iterator[IO[bytes]]:
    items, index = image
    with regular_file(items.encoded(index)) as file:
        yield file


def _is_deep_color(image: _Image) -> bool:
    """Whether an image is a PNG of 16 bits per channel in colour, by its header."""
    try:
        with _opened(image) as file:
            header = file.read(26)
    except OSError:
        return False
    return header[:8] == _PNG and len(header) == 26 and header[24] == 16 and header[25] in (2, 6)


def _highest_color(image: _Image) -> int:
    try:
        with _opened(image) as file, Image.open(file, formats=("PNG",)) as picture:
            return int(np.asarray(picture.convert("RGB")).max())
    except Exception:  # a broken file is for whoever reads it
        return -1


def _spread(parts: Mapping[str, ImageItems], count: int) -> list[_Image]:
    """At most so many of the files and records of the parts, evenly spaced."""
    encoded = [items for items in parts.values() if isinstance(items, EncodedItems)]
    total = sum(len(items.labels) for items in encoded)
    wanted = range(0, total, max(1, -(-total // count)))
    start, found = 0, []
    for items in encoded:
        stop = start + len(items.labels)
        found += [(items, number - start) for number in wanted if start <= number < stop]
        start = stop
    return found


def _is_sixteen_bit(image: _Image) -> bool:
    try:
        with _opened(image) as file, Image.open(file, formats=readable_formats()) as picture:
            return is_sixteen_bit(picture)
    except Exception:  # a broken file is for whoever reads it
        return False


def _highest(image: _Image) -> int:
    """The highest value of a 16-bit image; -1 of any other."""
    try:
        with _opened(image) as file, Image.open(file, formats=readable_formats()) as picture:
            return int(np.asarray(picture).max()) if is_sixteen_bit(picture) else -1
    except Exception:  # a broken file is for whoever reads it
        return -1
