"""Load an image so that one whose data are cut or blanked is an error, and not half a picture.

Pillow decodes what is there. What a format offers beside is looked at here: checksums, sizes that
a header declares, and how far the data went.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import IO

from PIL import Image, ImageFile

from kerastl.data.jpeg_decoding import load_jpeg
from kerastl.data.png_decoding import load_png
from kerastl.data.raw_pixels import check_raw_pixels, zero_run

# No encoder writes so many zeros in a row into compressed data, however plain the picture.
_SHORTEST_BLANK = 128
_BLANK_SHARE = 10

_TIFF_OFFSETS_AND_SIZES = ((273, 279), (324, 325))
_TIFF_COMPRESSION = 259
_TIFF_DEFLATE = (8, 32946)
_TIFF_JPEG, _TIFF_JPEG_TABLES = 7, 347
_TIFF_BLANK_IS_BROKEN = (2, 3, 4, 5, 32773)  # fax, LZW, PackBits

_BLANK = "the data of the picture are damaged: a long stretch of them is zeros"


def load_whole(image: ImageFile.ImageFile, file: IO[bytes]) -> None:
    """Load the pixels of an opened image.

    Args:
        image: Opened from `file`, and not loaded.
        file: Open for reading.

    Raises:
        OSError: If data of the picture are missing or damaged.
    """
    if image.format in ("JPEG", "MPO"):
        file.seek(0)
        load_jpeg(image, file.read())
        return
    if image.format == "PNG":
        load_png(image, file)
        return
    check = _CHECKS.get(image.format or "")
    position = file.tell()
    if check is not None:
        check(image, file)
    if all(tile[0] == "raw" for tile in image.tile):
        check_raw_pixels(image, file)
    file.seek(position)
    image.load()


def _check_webp(image: ImageFile.ImageFile, file: IO[bytes]) -> None:
    file.seek(0)
    content = file.read()
    declared = 8 + int.from_bytes(content[4:8], "little")
    if declared > len(content) + 1:  # some writers leave the last byte of padding out
        raise OSError(f"image file is truncated: it has {len(content):,} of {declared:,} bytes")
    for kind, start, stop in _riff_chunks(content, 12, declared):
        if kind in (b"VP8 ", b"VP8L", b"ANMF"):
            _refuse_blank(content[start:stop])


def _riff_chunks(content: bytes, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    while start + 8 <= stop:
        kind = content[start : start + 4]
        (length,) = struct.unpack_from("<I", content, start + 4)
        yield kind, start + 8, start + 8 + length
        start += 8 + length + length % 2


def _check_boxes(image: ImageFile.ImageFile, file: IO[bytes]) -> None:
    """The boxes of AVIF and JPEG 2000 that hold the picture, or a codestream without boxes."""
    file.seek(0)
    content = file.read()
    if content.startswith(b"\xff\x4f\xff\x51"):
        _refuse_blank(content)
        return
    start = 0
    while start + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, start)
        head = 8
        if length == 1 and start + 16 <= len(content):
            (length,) = struct.unpack_from(">Q", content, start + 8)
            head = 16
        stop = start + length if length else len(content)
        if stop < start + head:
            break
        if kind in (b"mdat", b"jp2c"):
            if stop > len(content):
                raise OSError(f"image file is truncated: it has {len(content):,} of {stop:,} bytes")
            _refuse_blank(content[start + head : stop])
        start = stop


def _check_tiff(image: ImageFile.ImageFile, file: IO[bytes]) -> None:
    """See whether each strip or tile lies in the file, and whether it is blank."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    size = file.seek(0, os.SEEK_END)
    compression = tags.get(_TIFF_COMPRESSION, 1)
    for offsets_tag, sizes_tag in _TIFF_OFFSETS_AND_SIZES:
        offsets, sizes = tags.get(offsets_tag, ()), tags.get(sizes_tag, ())
        for offset, length in zip(offsets, sizes, strict=False):
            if offset + length > size:
                raise OSError(
                    f"image file is truncated: it has {size:,} of {offset + length:,} bytes"
                )
            if compression in (_TIFF_JPEG, *_TIFF_DEFLATE, *_TIFF_BLANK_IS_BROKEN):
                file.seek(offset)
                _check_strip(file.read(length), compression, tags.get(_TIFF_JPEG_TABLES, b""))


def _check_strip(strip: bytes, compression: int, jpeg_tables: bytes) -> None:
    if not _is_blank(strip):
        return
    # Of a plain picture these two may be zeros, and show themselves whether they are whole.
    if compression in _TIFF_DEFLATE:
        try:
            zlib.decompress(strip)
        except zlib.error:
            raise OSError(_BLANK) from None
    elif compression == _TIFF_JPEG:
        whole = jpeg_tables[:-2] + strip[2:] if jpeg_tables else strip
        with Image.open(io.BytesIO(whole), formats=("JPEG",)) as part:
            load_jpeg(part, whole)
    else:
        raise OSError(_BLANK)


def _refuse_blank(data: bytes) -> None:
    if _is_blank(data):
        raise OSError(_BLANK)


def _is_blank(data: bytes) -> bool:
    shortest = max(_SHORTEST_BLANK, len(data) // _BLANK_SHARE)
    return zero_run(data, shortest=shortest) is not None


_CHECKS: Mapping[str, Callable[[ImageFile.ImageFile, IO[bytes]], None]] = {
    "WEBP": _check_webp,
    "AVIF": _check_boxes,
    "JPEG2000": _check_boxes,
    "TIFF": _check_tiff,
}
