"""Find uncompressed pixels that were blanked: by a transfer that broke off, or by a disk."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np
from PIL import ImageFile

_BLANK_SHARE = 10
_SHORTEST_BLANK = 128

# Bytes from the ends of a row within which a blank is one of the picture's own.
_MARGIN = 6
# What counts as not black: so many bytes, as a share, whose colour is not that of 0, and so far
# from it in the mean, in steps of 255.
_LIT = 0.75
_BRIGHT = 10

_BITS = {
    "1": 1,
    "1;I": 1,
    "L": 8,
    "P": 8,
    "P;1": 1,
    "P;4": 4,
    "RGB": 24,
    "BGR": 24,
    "RGBX": 32,
    "RGBA": 32,
    "BGRX": 32,
    "BGRA": 32,
    "CMYK": 32,
    "I;16": 16,
    "I;16B": 16,
}


def zero_run(data: bytes | np.ndarray, *, shortest: int) -> tuple[int, int] | None:
    """Start and stop of the first run of at least so many zeros, or None.

    Example:

    >>> zero_run(b"ab" * 50 + bytes(200) + b"c", shortest=128)
    (100, 300)
    """
    values = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data
    step = max(1, shortest // 2)
    stop = 0
    for start in range(0, len(values) - step + 1, step):
        # A run of that length has one of these stretches whole.
        if start < stop or values[start] or values[start : start + step].any():
            continue
        before = np.flatnonzero(values[max(0, start - step) : start])
        first = max(0, start - step) + int(before[-1]) + 1 if len(before) else max(0, start - step)
        stop = start + step
        while stop < len(values) and not (after := values[stop : stop + step]).any():
            stop += len(after)
        if stop < len(values):
            stop += int(np.argmax(values[stop : stop + step] != 0))
        if stop - first >= shortest:
            return first, stop
    return None


def check_raw_pixels(image: ImageFile.ImageFile, file: IO[bytes]) -> None:
    """Refuse an uncompressed picture of which a tenth or more was blanked.

    A black area of a picture ends with rows or has a shape; where bytes were
    blanked, the zeros begin or end within a row whose neighbours are not
    black. Zeros that begin and end with rows are let pass; a black shape as
    wide as the picture, whose hard edge falls by one row from side to side,
    is taken for a blank.

    Args:
        image: Opened from `file`, all tiles "raw", and not loaded.
        file: Open for reading.

    Raises:
        OSError: If so.
    """
    for offset, rows, stride in _stretches(image):
        values = _bytes_of(file, offset, rows * stride)
        shortest = max(_SHORTEST_BLANK, len(values) // _BLANK_SHARE, 2 * stride)
        found = zero_run(values, shortest=shortest)
        if found is None or found[0] == 0:  # who blanks the start blanks the header
            continue
        edges = _Edges(values, stride, _distances(image))
        if edges.torn_at_start(found[0]) or edges.torn_at_stop(found[1]):
            raise OSError("the data of the picture are damaged: a long stretch of them is zeros")


def _stretches(image: ImageFile.ImageFile) -> Iterator[tuple[int, int, int]]:
    """Offset, rows and bytes of a row, of rows that follow each other in the file."""
    offset = rows = stride = 0
    for tile in sorted(image.tile, key=lambda tile: tile[2]):
        _, extents, start, arguments = tile
        found = _row_bytes(image, extents, arguments)
        if not found or extents is None:
            return
        height = extents[3] - extents[1]
        if rows and (found != stride or start != offset + rows * stride):
            yield offset, rows, stride
            rows = 0
        if not rows:
            offset, stride = start, found
        rows += height
    if rows:
        yield offset, rows, stride


def _row_bytes(image: ImageFile.ImageFile, extents: object, arguments: object) -> int:
    """Bytes of a row, or 0 where that is not known."""
    if not isinstance(extents, tuple) or extents[0] != 0 or extents[2] != image.width:
        return 0
    rawmode, stride = arguments, 0
    if isinstance(arguments, tuple):
        rawmode, stride = arguments[0], arguments[1] if len(arguments) > 1 else 0
    bits = _BITS.get(str(rawmode), 0)
    return int(stride) if stride else (image.width * bits + 7) // 8


def _bytes_of(file: IO[bytes], offset: int, size: int) -> np.ndarray:
    """Some bytes of a file; those of a file on disk are not all in memory at once."""
    if isinstance(file, io.BytesIO):
        return np.frombuffer(file.getvalue(), np.uint8)[offset : offset + size]
    return np.memmap(file, np.uint8, mode="r")[offset : offset + size]


def _distances(image: ImageFile.ImageFile) -> np.ndarray:
    """How far the colour of each value of a byte is from that of 0, in steps of 255."""
    palette = image.getpalette() if image.mode == "P" else None
    if palette is None:
        return np.arange(256)
    colors = np.zeros((256, 3), np.int64)
    known = np.array(palette).reshape(-1, 3)[:256]
    colors[: len(known)] = known
    return np.abs(colors - colors[0]).max(axis=-1)


@dataclass(frozen=True)
class _Edges:
    """Rows of pixels.

    Attributes:
        values: Their bytes, one row after the other.
        stride: Bytes of a row.
        distances: Of each value from 0.
    """

    values: np.ndarray
    stride: int
    distances: np.ndarray

    def torn_at_start(self, start: int) -> bool:
        """Whether zeros begin within a row, the one above which goes on."""
        row, column = divmod(start, self.stride)
        top = row * self.stride
        return (
            row > 0
            and self._is_inside(column)
            and self._is_lit(top, start)
            and self._is_lit(start - self.stride, top)
        )

    def torn_at_stop(self, stop: int) -> bool:
        """Whether zeros end within a row, and the one below is whole."""
        row, column = divmod(stop, self.stride)
        below = (row + 1) * self.stride
        return (
            below + column <= len(self.values)
            and self._is_inside(column)
            and self._is_lit(stop, below)
            and self._is_lit(below, below + column)
        )

    def _is_inside(self, column: int) -> bool:
        return _MARGIN <= column <= self.stride - _MARGIN

    def _is_lit(self, start: int, stop: int) -> bool:
        far = self.distances[self.values[start:stop]]
        return bool(np.count_nonzero(far) > _LIT * len(far) and far.mean() >= _BRIGHT)
