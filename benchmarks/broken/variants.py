"""Every format that is read, in the variants that encoders write."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from kerastl.data.png_decoding import PASSES

Write = Callable[[Image.Image], bytes]


@dataclass(frozen=True)
class Variant:
    """One way to write a picture.

    Attributes:
        name: What to call it.
        suffix: Of its files.
        write: The content of a file.
        ending: Bytes that close a file of this format.
        is_bare: Whether it holds pixels and nothing to check them by.
    """

    name: str
    suffix: str
    write: Write
    ending: bytes = b""
    is_bare: bool = False


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """What Pillow writes."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _by_pillow(kind: str, mode: str = "RGB", **options: Any) -> Write:
    def write(image: Image.Image) -> bytes:
        changed = _deep(image) if mode == "I;16" else image.convert(mode)
        return saved(changed, kind, **options)

    return write


def _deep(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


def _interlaced_png(image: Image.Image) -> bytes:
    """A PNG in seven passes (PNG specification, 8.2), which Pillow does not write."""
    pixels = np.asarray(image.convert("RGB"))
    height, width, _ = pixels.shape
    lines = bytearray()
    for top, down, left, across in PASSES:
        part = pixels[top::down, left::across]
        if part.size:
            for row in part:
                lines += b"\0" + row.tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(bytes(lines))), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def _run_length_bmp(image: Image.Image) -> bytes:
    """A BMP of 8 bits with run lengths, which Pillow does not write."""
    grey = np.asarray(image.convert("L")) & 0xF8
    height, width = grey.shape
    body = bytearray()
    for row in grey[::-1]:
        starts = np.flatnonzero(np.diff(row, prepend=-1))
        for start, stop in zip(starts, [*starts[1:], width], strict=True):
            for first in range(start, stop, 255):
                body += bytes((min(255, stop - first), int(row[start])))
        body += b"\0\0"
    body += b"\0\1"
    palette = b"".join(bytes((level, level, level, 0)) for level in range(256))
    offset = 14 + 40 + len(palette)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(body), 0, 0, 256, 0)
    return struct.pack("<2sIHHI", b"BM", offset + len(body), 0, 0, offset) + info + palette + body


def _several(kind: str, **options: Any) -> Write:
    def write(image: Image.Image) -> bytes:
        others = [image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
        return saved(image.convert("RGB"), kind, save_all=True, append_images=others, **options)

    return write


def _of_a_camera(image: Image.Image) -> bytes:
    """A JPEG with a thumbnail in its EXIF data."""
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    small = saved(image.resize((32, 24)), "JPEG")
    return saved(image.convert("RGB"), "JPEG", exif=exif.tobytes() + small)


def _with_end(write: Write, rest: bytes) -> Write:
    return lambda image: write(image) + rest


_ENDINGS: Mapping[str, bytes] = {
    "jpg": b"\xff\xd9",
    "png": b"\0\0\0\0IEND\xaeB`\x82",
    "gif": b"\0;",
}


_BARE = frozenset(
    (
        *("bmp 24 bit", "bmp 32 bit", "bmp 8 bit", "bmp 1 bit", "tiff", "tiff 16 bit"),
        *("ppm", "pgm", "tga"),
    )
)


def _variant(name: str, suffix: str, write: Write) -> Variant:
    return Variant(name, suffix, write, _ENDINGS.get(suffix, b""), name in _BARE)


VARIANTS: tuple[Variant, ...] = tuple(
    _variant(*each)
    for each in (
        ("png", "png", _by_pillow("PNG")),
        ("png grey", "png", _by_pillow("PNG", "L")),
        ("png alpha", "png", _by_pillow("PNG", "RGBA")),
        ("png palette", "png", _by_pillow("PNG", "P")),
        ("png 1 bit", "png", _by_pillow("PNG", "1")),
        ("png 16 bit", "png", _by_pillow("PNG", "I;16")),
        ("png not compressed", "png", _by_pillow("PNG", compress_level=0)),
        ("png interlaced", "png", _interlaced_png),
        ("jpeg", "jpg", _by_pillow("JPEG")),
        ("jpeg optimised", "jpg", _by_pillow("JPEG", optimize=True, quality=92)),
        ("jpeg 4:4:4", "jpg", _by_pillow("JPEG", subsampling=0, quality=95)),
        ("jpeg 4:2:2", "jpg", _by_pillow("JPEG", subsampling=1, quality=30)),
        ("jpeg progressive", "jpg", _by_pillow("JPEG", progressive=True)),
        ("jpeg restarts", "jpg", _by_pillow("JPEG", restart_marker_blocks=5)),
        ("jpeg restarts by row", "jpg", _by_pillow("JPEG", restart_marker_rows=1)),
        (
            "jpeg progressive restarts",
            "jpg",
            _by_pillow("JPEG", progressive=True, restart_marker_rows=1),
        ),
        ("jpeg grey", "jpg", _by_pillow("JPEG", "L")),
        ("jpeg grey progressive", "jpg", _by_pillow("JPEG", "L", progressive=True)),
        ("jpeg cmyk", "jpg", _by_pillow("JPEG", "CMYK")),
        ("jpeg cmyk progressive", "jpg", _by_pillow("JPEG", "CMYK", progressive=True)),
        ("jpeg of a camera", "jpg", _of_a_camera),
        ("bmp 24 bit", "bmp", _by_pillow("BMP")),
        ("bmp 32 bit", "bmp", _by_pillow("BMP", "RGBA")),
        ("bmp 8 bit", "bmp", _by_pillow("BMP", "P")),
        ("bmp 1 bit", "bmp", _by_pillow("BMP", "1")),
        ("bmp run lengths", "bmp", _run_length_bmp),
        ("tiff", "tif", _by_pillow("TIFF")),
        ("tiff 16 bit", "tif", _by_pillow("TIFF", "I;16")),
        ("tiff lzw", "tif", _by_pillow("TIFF", compression="tiff_lzw")),
        ("tiff deflate", "tif", _by_pillow("TIFF", compression="tiff_adobe_deflate")),
        ("tiff packbits", "tif", _by_pillow("TIFF", compression="packbits")),
        ("tiff jpeg", "tif", _by_pillow("TIFF", compression="jpeg")),
        ("tiff fax", "tif", _by_pillow("TIFF", "1", compression="group4")),
        (
            "tiff in tiles",
            "tif",
            _by_pillow("TIFF", compression="tiff_lzw", tiffinfo={322: 64, 323: 64}),
        ),
        ("gif", "gif", _by_pillow("GIF", "P", interlace=0)),
        ("gif interlaced", "gif", _by_pillow("GIF", "P", interlace=1)),
        ("webp", "webp", _by_pillow("WEBP")),
        ("webp lossless", "webp", _by_pillow("WEBP", lossless=True)),
        ("webp alpha", "webp", _by_pillow("WEBP", "RGBA")),
        ("ppm", "ppm", _by_pillow("PPM")),
        ("pgm", "pgm", _by_pillow("PPM", "L")),
        ("tga", "tga", _by_pillow("TGA")),
        ("tga run lengths", "tga", _by_pillow("TGA", compression="tga_rle")),
        ("avif", "avif", _by_pillow("AVIF", speed=10)),
        ("jpeg 2000", "jp2", _by_pillow("JPEG2000")),
    )
)

_JUNK = bytes(range(256)) * 3

ODD: tuple[Variant, ...] = (
    *(
        _variant(f"{each.name} and more bytes", each.suffix, _with_end(each.write, rest))
        for each in VARIANTS
        if each.suffix in ("jpg", "png", "gif", "bmp", "tif", "webp")
        for rest in (_JUNK, b"\0" * 5000)
    ),
    _variant("camera file of several", "jpg", _several("MPO")),
    _variant("png moving", "png", _several("PNG")),
    _variant("gif moving", "gif", _several("GIF")),
    _variant("webp moving", "webp", _several("WEBP")),
    _variant("tiff of pages", "tif", _several("TIFF")),
    _variant("tiff of deflated pages", "tif", _several("TIFF", compression="tiff_deflate")),
    _variant("gif transparent", "gif", _by_pillow("GIF", "P", transparency=0)),
    _variant("png transparent", "png", _by_pillow("PNG", "P", transparency=0)),
    _variant("tiff cmyk", "tif", _by_pillow("TIFF", "CMYK")),
    _variant("tiff big", "tif", _by_pillow("TIFF", big_tiff=True)),
    _variant("jpeg 2000 raw", "j2k", _by_pillow("JPEG2000", no_jp2=True)),
)
