"""Decode a PNG whose checksums are right and whose data go on to the last row."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from typing import IO

from PIL import ImageFile

_SIGNATURE = 8
_AT_A_TIME = 1 << 20

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# First row, step, first column, step of each pass (PNG specification, 8.2).
PASSES = (
    (0, 8, 0, 8),
    (0, 8, 4, 8),
    (4, 8, 0, 4),
    (0, 4, 2, 4),
    (2, 4, 0, 2),
    (0, 2, 1, 2),
    (1, 2, 0, 1),
)

_TOO_SHORT = "image file is truncated: the data of the picture end before its last row"


def load_png(image: ImageFile.ImageFile, file: IO[bytes]) -> None:
    """Load the pixels of an opened PNG.

    Args:
        image: Opened from `file`, and not loaded.
        file: Open for reading.

    Raises:
        OSError: If data of the picture are missing or damaged.
    """
    position = file.tell()
    _check_sums(file)
    file.seek(position)
    image.load()
    # Pillow leaves rows at 0 for which a stream that ends well has no data. It shows in the last
    # rows, and only where they are 0 is the stream read once more.
    last = (0, max(0, image.height - 2), *image.size)
    if image.crop(last).getbbox(alpha_only=False) is None and _is_short(file):
        raise OSError(_TOO_SHORT)


def _check_sums(file: IO[bytes]) -> None:
    """Compare the checksum of every chunk that the picture needs, up to the last one."""
    file.seek(_SIGNATURE)
    while len(head := file.read(8)) == 8:
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if kind[0] & 32:  # not needed for the picture
            file.seek(length + 4, os.SEEK_CUR)
            continue
        found = zlib.crc32(kind)
        while length and (piece := file.read(min(length, _AT_A_TIME))):
            found, length = zlib.crc32(piece, found), length - len(piece)
        stored = file.read(4)
        if length or len(stored) < 4:
            break
        if int.from_bytes(stored, "big") != found:
            name = kind.decode("latin-1")
            raise OSError(f"the data of the picture are damaged: the checksum of {name!r} is wrong")
        if kind == b"IEND":
            return
    raise OSError("image file is truncated: its last chunk is missing")


def _is_short(file: IO[bytes]) -> bool:
    """Whether the stream of pixels is shorter than the header asks for."""
    file.seek(_SIGNATURE + 8)
    width, height, depth, color, _, _, interlaced = struct.unpack(">IIBBBBB", file.read(13))
    bits = depth * _CHANNELS.get(color, 1)
    wanted = 0
    for top, down, left, across in PASSES if interlaced else ((0, 1, 0, 1),):
        rows, columns = len(range(top, height, down)), len(range(left, width, across))
        wanted += rows * (1 + (columns * bits + 7) // 8) if columns else 0
    stream, found = zlib.decompressobj(), 0
    try:
        for piece in _data(file):
            while piece and found < wanted:
                found += len(stream.decompress(piece, _AT_A_TIME))
                piece = stream.unconsumed_tail
    except zlib.error:
        return True
    return found + len(stream.flush()) < wanted


def _data(file: IO[bytes]) -> Iterator[bytes]:
    """The content of the chunks IDAT, in pieces."""
    file.seek(_SIGNATURE)
    while len(head := file.read(8)) == 8:
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if kind != b"IDAT":
            file.seek(length + 4, os.SEEK_CUR)
            continue
        while length and (piece := file.read(min(length, _AT_A_TIME))):
            yield piece
            length -= len(piece)
        file.seek(4, os.SEEK_CUR)
