"""Find images that cannot be decoded before training reaches them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from kerastl.data.decoding import decoded, decoding_reason, quiet_decoding
from kerastl.data.items import BrokenImage, FileItems, SourceData
from kerastl.data.resizing import ImageSettings
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
    with quiet_decoding(), ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as threads:
        reasons: Iterable[str | None] = threads.map(_reason, paths)
        if progress and len(paths) > _PROGRESS_FROM:
            from tqdm import tqdm

            reasons = tqdm(
                reasons, total=len(paths), desc="Checking images", unit="image", file=sys.stderr
            )
        return [
            BrokenImage(path, reason)
            for path, reason in zip(paths, reasons, strict=True)
            if reason is not None
        ]


def without_broken_images(
    data: SourceData, *, skip_broken: bool, progress: bool = False
) -> tuple[SourceData, tuple[BrokenImage, ...]]:
    """The data with its broken files left out, and what they were.

    Sources other than folders hold decoded or checked images and come back as
    they are, and so do folders with more than `CHECKED_UP_FRONT` files: a
    training on many files starts before all are read.

    Args:
        data: Images and labels.
        skip_broken: Whether broken files are left out, or are an error.
        progress: Whether to show a bar on stderr.

    Raises:
        BrokenImagesError: If files are broken and are not to be skipped, or
            if a class has no other files.
    """
    files = {part: items for part, items in data.parts.items() if isinstance(items, FileItems)}
    paths = [path for items in files.values() for path in items.paths]
    if len(paths) > CHECKED_UP_FRONT:
        return data, ()
    broken = tuple(broken_images(paths, progress=progress))
    if not broken:
        return data, ()
    listing = _listing(broken)
    if not skip_broken:
        raise BrokenImagesError(
            f"{len(broken)} of {len(paths)} images cannot be decoded. "
            f"Mend or remove them, or pass `skip_broken=True`, in the shell "
            f"--skip-broken, to leave them out.\n{listing}"
        )
    kept = _kept(files, {image.path for image in broken})
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


def _reason(path: Path) -> str | None:
    try:
        decoded(path, settings=_SMALL)
    except Exception as error:  # Pillow's decoders raise almost anything on broken data
        return decoding_reason(error)
    return None


def _kept(files: Mapping[str, FileItems], broken: set[Path]) -> dict[str, FileItems]:
    kept = {}
    for part, items in files.items():
        sound = [number for number, path in enumerate(items.paths) if path not in broken]
        kept[part] = items.some(sound)
    return kept


def _listing(broken: Sequence[BrokenImage]) -> str:
    lines = [f"  {image.path}: {image.reason}" for image in broken[:_MOST_LISTED]]
    if len(broken) > _MOST_LISTED:
        lines.append(f"  and {len(broken) - _MOST_LISTED} more")
    return "\n".join(lines)
