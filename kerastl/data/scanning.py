"""Find images that cannot be decoded before training reaches them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kerastl.data.decoding import decoded, decoding_reason, quiet_decoding
from kerastl.data.items import BrokenImage, SourceData
from kerastl.data.resizing import ImageSettings
from kerastl.data.stored_items import EncodedItems
from kerastl.errors import BrokenImagesError

CHECKED_UP_FRONT = 5000
"""Files up to which all are checked before training; of more, each when it is first read."""

# Every byte of a JPEG is still decoded, but most of its pixels are not computed.
_SMALL = ImageSettings(image_size=1)

_MOST_LISTED = 20
_PROGRESS_FROM = 200
_MOST_THREADS = 8


def broken_images(paths: Sequence[Path], *, progress: bool = False) -> list[BrokenImage]:
    """The files that cannot be decoded to the last pixel, in the order of `paths`.

    Args:
        paths: Image files.
        progress: Whether to show a bar on stderr, from 200 files on.

    Returns:
        Each broken file and why.
    """
    reasons = _reasons(paths, _why_broken, progress=progress)
    return [BrokenImage(path, why) for path, why in zip(paths, reasons, strict=True) if why]


def _reasons(
    images: Sequence[Any], why_broken: Callable[[Any], str | None], *, progress: bool
) -> list[str | None]:
    """Why each image cannot be decoded, or None."""
    with quiet_decoding(), ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as threads:
        reasons: Iterable[str | None] = threads.map(why_broken, images)
        if progress and len(images) > _PROGRESS_FROM:
            from tqdm import tqdm

            reasons = tqdm(
                reasons, total=len(images), desc="Checking images", unit="image", file=sys.stderr
            )
        return list(reasons)


def without_broken_images(
    data: SourceData, *, skip_broken: bool, progress: bool = False
) -> tuple[SourceData, tuple[BrokenImage, ...]]:
    """The data with its broken files left out, and what they were.

    Arrays, digits and prepared sets hold decoded or checked images and come
    back as they are, and so does what has more than `CHECKED_UP_FRONT` files
    or records: a training on many starts before all are read.

    Args:
        data: Images and labels.
        skip_broken: Whether broken files are left out, or are an error.
        progress: Whether to show a bar on stderr.

    Raises:
        BrokenImagesError: If files are broken and are not to be skipped, or
            if a class has no other files.
    """
    encoded = {part: items for part, items in data.parts.items() if isinstance(items, EncodedItems)}
    if sum(len(items.labels) for items in encoded.values()) > CHECKED_UP_FRONT:
        return data, ()
    images = [
        (part, items, index)
        for part, items in encoded.items()
        for index in range(len(items.labels))
    ]
    reasons = _reasons(images, lambda image: _why_broken_at(*image[1:]), progress=progress)
    broken = tuple(
        BrokenImage(Path(items.name(index)), why)
        for (_, items, index), why in zip(images, reasons, strict=True)
        if why
    )
    if not broken:
        return data, ()
    listing = _listing(broken)
    if not skip_broken:
        raise BrokenImagesError(
            f"{len(broken)} of {len(images)} images cannot be decoded. "
            f"Mend or remove them, or pass `skip_broken=True`, in the shell "
            f"--skip-broken, to leave them out.\n{listing}"
        )
    sound: dict[str, list[int]] = {part: [] for part in encoded}
    for (part, _, index), why in zip(images, reasons, strict=True):
        if not why:
            sound[part].append(index)
    kept = {part: items.some(sound[part]) for part, items in encoded.items()}
    for part, items in kept.items():
        if items.labels.ndim > 1:
            continue
        counts = np.bincount(items.labels, minlength=len(data.class_names))
        if not counts.all():
            name = data.class_names[int(counts.argmin())]
            raise BrokenImagesError(
                f"Every class must have images that can be decoded, but {name!r} in the "
                f"{part} part has none.\n{listing}"
            )
    return replace(data, parts={**data.parts, **kept}), broken


def _why_broken(path: Path) -> str | None:
    return _why(lambda: path)


def _why_broken_at(items: EncodedItems, index: int) -> str | None:
    return _why(lambda: items.encoded(index))


def _why(encoded: Callable[[], Path | bytes]) -> str | None:
    try:
        decoded(encoded(), settings=_SMALL)
    except Exception as error:  # Pillow's decoders raise almost anything on broken data
        return decoding_reason(error)
    return None


def _listing(broken: Sequence[BrokenImage]) -> str:
    lines = [f"  {image.path}: {image.reason}" for image in broken[:_MOST_LISTED]]
    if len(broken) > _MOST_LISTED:
        lines.append(f"  and {len(broken) - _MOST_LISTED} more")
    return "\n".join(lines)
