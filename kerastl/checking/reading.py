"""One pass over all images: what each is like, and its pixels for the network."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kerastl.checking.inventory import Inventory
from kerastl.data.decoding import decoding_reason, quiet_decoding
from kerastl.data.digests import bytes_digest
from kerastl.data.opening import regular_file
from kerastl.data.resizing import ImageSettings, resized

SIDE = 32
"""Height and width of the thumbnails that are compared, pixels."""

BATCH_SIZE = 32
_MOST_THREADS = 8
_PROGRESS_FROM = 200
_ORIENTATION = 0x0112
# Orientations from here on lie on their side.
_ON_ITS_SIDE = 5
# What libjpeg fills missing rows with, and how much of a picture must be so.
_FILLED, _HALF_EMPTY = 128, 0.15
# Rows and columns of a picture that are enough to see whether it is blank.
_LOOKED_AT = 128

TakePixels = Callable[[np.ndarray, np.ndarray], None]


@dataclass(frozen=True)
class Facts:
    """What the images are like, `(images,)` each.

    Attributes:
        widths: Of the upright image, pixels; 0 where it is broken.
        heights: Likewise.
        formats: Pillow's name of a file's format; "" for what is no file.
        modes: Pillow's mode of a file, such as "L" or "CMYK"; likewise.
        digests: Of the pixels and the size; "" where it is broken.
        reasons: Why it is broken; "" where it is not.
        half_empty: Share of the height that is filled up, from below.
        contrast: Standard deviation of the grey levels, of the image as it was
            read: a fine texture is even in a thumbnail.
        thumbnails: `(images, SIDE, SIDE, 3)`, uint8.
    """

    widths: np.ndarray
    heights: np.ndarray
    formats: np.ndarray
    modes: np.ndarray
    digests: np.ndarray
    reasons: np.ndarray
    half_empty: np.ndarray
    contrast: np.ndarray
    thumbnails: np.ndarray = field(repr=False)

    @property
    def is_sound(self) -> np.ndarray:
        """Whether each image could be decoded."""
        return self.reasons == ""

    @property
    def brightness(self) -> np.ndarray:
        """Mean of each image, 0-255."""
        return self.thumbnails.reshape(len(self.thumbnails), -1).mean(1)

    @property
    def is_grey(self) -> np.ndarray:
        """Whether red, green and blue are the same, but for what JPEG adds."""
        spread = [
            int(np.ptp(each.astype(np.int16), axis=2).max(initial=0)) for each in self.thumbnails
        ]
        return np.array(spread) <= 6


@dataclass(frozen=True)
class _Seen:
    """What one image is like; fields as in `Facts`."""

    reason: str = ""
    width: int = 0
    height: int = 0
    format: str = ""
    mode: str = ""
    digest: str = ""
    half_empty: float = 0.0
    contrast: float = 0.0
    thumbnail: np.ndarray | None = None
    pixels: np.ndarray | None = None


def read(
    inventory: Inventory,
    settings: ImageSettings,
    *,
    take: TakePixels | None = None,
    progress: bool = False,
) -> Facts:
    """Decode every image once.

    Args:
        inventory: The images.
        settings: The size that `take` wants, and how to get there; also how
            far a large JPEG is reduced while it is read.
        take: Gets numbers of images and their pixels, batch after batch,
            broken ones left out.
        progress: Whether to show a bar on stderr, from 200 images on.
    """
    count = len(inventory)
    thumbnails = np.zeros((count, SIDE, SIDE, 3), np.uint8)
    seen: list[_Seen] = []
    wants_pixels = take is not None
    for numbers, looks in _batches(inventory, settings, wants_pixels, progress=progress):
        sound = [n for n, look in zip(numbers, looks, strict=True) if look.thumbnail is not None]
        for number, look in zip(numbers, looks, strict=True):
            if look.thumbnail is not None:
                thumbnails[number] = look.thumbnail
        if take is not None and sound:
            pixels = [look.pixels for look in looks if look.pixels is not None]
            take(np.array(sound), np.stack(pixels))
        # The pixels go; the rest is small.
        seen += [_without_pixels(look) for look in looks]
    return Facts(
        widths=np.array([look.width for look in seen]),
        heights=np.array([look.height for look in seen]),
        formats=np.array([look.format for look in seen], dtype=object),
        modes=np.array([look.mode for look in seen], dtype=object),
        digests=np.array([look.digest for look in seen], dtype=str),
        reasons=np.array([look.reason for look in seen], dtype=object),
        half_empty=np.array([look.half_empty for look in seen]),
        contrast=np.array([look.contrast for look in seen]),
        thumbnails=thumbnails,
    )


def _batches(
    inventory: Inventory, settings: ImageSettings, wants_pixels: bool, *, progress: bool
) -> Iterator[tuple[Sequence[int], list[_Seen]]]:
    """Each batch while the next is being read; never more than two are in memory."""
    count = len(inventory)

    def look(number: int) -> _Seen:
        return _looked_at(inventory, number, settings, wants_pixels=wants_pixels)

    threads = min(_MOST_THREADS, os.cpu_count() or 1) if inventory.reads_in_threads else 1
    starts: Any = range(0, count, BATCH_SIZE)
    with quiet_decoding(), ThreadPoolExecutor(threads) as pool, _bar(count, progress) as bar:
        waiting: tuple[Sequence[int], Any] | None = None
        for start in starts:
            numbers = range(start, min(start + BATCH_SIZE, count))
            coming = numbers, pool.map(look, numbers)
            if waiting is not None:
                yield waiting[0], list(waiting[1])
                bar.update(len(waiting[0]))
            waiting = coming
        if waiting is not None:
            yield waiting[0], list(waiting[1])
            bar.update(len(waiting[0]))


def _bar(count: int, progress: bool) -> Any:
    from tqdm import tqdm

    hidden = not progress or count < _PROGRESS_FROM
    return tqdm(total=count, desc="Reading", unit="image", file=sys.stderr, disable=hidden)


def _looked_at(
    inventory: Inventory, number: int, settings: ImageSettings, *, wants_pixels: bool
) -> _Seen:
    try:
        image = inventory.image(number, settings)
        encoded = inventory.encoded(number)
        size, kind, mode = (image.size, "", "") if encoded is None else _header(encoded)
        thumbnail = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
        pixels = resized(image, settings) if wants_pixels else None
    except Exception as error:  # Pillow's decoders raise almost anything on broken data
        return _Seen(reason=decoding_reason(error))
    content = np.asarray(image)
    return _Seen(
        width=size[0],
        height=size[1],
        format=kind,
        mode=mode,
        digest=bytes_digest(f"{size} {content.shape} ".encode() + content.tobytes()),
        half_empty=_filled_share(content) if kind == "JPEG" else 0.0,
        contrast=_contrast(content),
        thumbnail=thumbnail,
        pixels=pixels,
    )


def _header(encoded: Path | bytes) -> tuple[tuple[int, int], str, str]:
    """Size of the upright image, format and mode of a file that has been decoded."""
    with regular_file(encoded) as file, Image.open(file) as image:
        try:
            turned = int(image.getexif().get(_ORIENTATION, 1)) >= _ON_ITS_SIDE
        except Exception:  # broken metadata raise almost anything; the pixels are sound
            turned = False
        size = (image.height, image.width) if turned else image.size
        return size, str(image.format or ""), image.mode


def _contrast(pixels: np.ndarray) -> float:
    """Standard deviation of grey levels, of every so many pixels of a large image."""
    step = max(1, min(pixels.shape[:2]) // _LOOKED_AT)
    return float(pixels[::step, ::step].mean(2, dtype=np.float32).std())


def _filled_share(pixels: np.ndarray) -> float:
    """Share of the rows, from below, that are the even grey of missing data."""
    distance = np.abs(pixels.astype(np.int16) - _FILLED).reshape(len(pixels), -1)
    is_filled = distance.max(1) <= 1
    rows = len(pixels) if is_filled.all() else int(np.argmin(is_filled[::-1]))
    share = rows / len(pixels)
    return share if share >= _HALF_EMPTY else 0.0


def _without_pixels(look: _Seen) -> _Seen:
    return replace(look, pixels=None, thumbnail=None)
