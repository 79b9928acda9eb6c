"""Decode a JPEG and see whether the data of each scan are as long as the picture needs.

libjpeg fills what is missing with grey and only warns, which Pillow does not pass on. But it
shows how far it got: while it wants data for the picture, it keeps some of the bytes that it was
given last, as it cannot finish a unit with them; once a scan is complete, it takes every byte
and throws it away until the next marker comes. So a scan is fed up to shortly before its end,
up to its end, and then some bytes that are no data.
"""

from __future__ import annotations

from PIL import ImageFile

from kerastl.data.jpeg_layout import Layout, Scan, jpeg_layout
from kerastl.internals.pillow_decoder import PiecewiseDecoder

# Bytes that may be too many: some cameras leave two, and others fill a block.
_SPARE = 32
_PADDING = b"\0\xff"
_MOST_PADDING = 0.05

# Ones, of which no code consists: as many as the decoder looks ahead, and no unit more.
_AHEAD = b"\xff\0" * 9
_PROBES = 2

_TOO_SHORT = "image file is truncated: the data of the picture end before its last row"
_TOO_LONG = "the data of the picture are damaged: there are more of them than it has room for"
_RESTARTS = "the data of the picture are damaged: stretches between its restart markers are missing"
_SCANS = "image file is truncated: the last scans of the picture are missing"
_NO_END = "image file is truncated: the marker of its end is missing"


def load_jpeg(image: ImageFile.ImageFile, content: bytes) -> None:
    """Load the pixels of an opened JPEG.

    Args:
        image: Opened from `content`, and not loaded.
        content: Of the file.

    Raises:
        OSError: If data of the picture are missing or damaged.
    """
    layout = jpeg_layout(content)
    if not layout.is_checked or len(image.tile) != 1:
        image.load()
        return
    if not layout.has_end:
        raise OSError(_NO_END)
    if layout.missing_restarts():
        raise OSError(_RESTARTS)
    if layout.missing_scans():
        raise OSError(_SCANS)
    with PiecewiseDecoder(image) as decoder:
        _decode(decoder, layout, content)


def _decode(decoder: PiecewiseDecoder, layout: Layout, content: bytes) -> None:
    view = memoryview(content)
    position = 0
    for scan in layout.scans:
        before_end = _before_end(scan, content)
        if before_end > position:
            decoder.feed(view[position:before_end])
            if _takes_everything(decoder, view[before_end : before_end + _PROBES]):
                raise OSError(_TOO_LONG)
            position = before_end + _PROBES
        decoder.feed(view[position : scan.stop])
        position = scan.stop
        decoder.feed(_AHEAD)
        if not _takes_everything(decoder, b"\xff\0" * _PROBES, step=2):
            raise OSError(_TOO_SHORT)
    if layout.is_one_scan and len(layout.scans) == 1:
        return  # every row is there
    decoder.feed(view[position:])
    if not decoder.is_done:
        raise OSError(_TOO_SHORT)


def _takes_everything(
    decoder: PiecewiseDecoder, pieces: bytes | memoryview, *, step: int = 1
) -> bool:
    """Whether the decoder takes piece after piece and keeps none: it wants no data."""
    kept = 0
    for start in range(0, len(pieces), step):
        decoder.feed(pieces[start : start + step])
        kept += decoder.left
    return not kept


def _before_end(scan: Scan, content: bytes) -> int:
    """A place that a whole scan goes beyond, or 0 where it is too short to say."""
    size = scan.stop - scan.start
    last = content[max(scan.start, scan.stop - int(size * _MOST_PADDING)) : scan.stop]
    padding = max(len(last) - len(last.rstrip(bytes((byte,)))) for byte in _PADDING)
    place = scan.stop - padding - _SPARE
    return place if place > scan.start + _SPARE else 0
