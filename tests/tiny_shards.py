"""Small tar shards, written by `tarfile` in the form of webdataset."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Sample = tuple[str, Mapping[str, bytes]]


def pixels(number: int, *, size: int = 8) -> np.ndarray:
    generator = np.random.default_rng(number)
    return generator.integers(0, 256, (size, size, 3), dtype=np.uint8)


def png(number: int, *, size: int = 8) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels(number, size=size)).save(file, "PNG")
    return file.getvalue()


def picture_of_many_kinds(number: int) -> tuple[str, bytes]:
    """Ending and content of an image: on its side, of 12 bits, transparent, of a palette."""
    generator = np.random.default_rng(number)
    options: dict[str, Any] = {}
    if number % 4 == 0:
        exif = Image.Exif()
        exif[0x0112] = 6
        image, ending, options = Image.fromarray(pixels(number, size=16)), "jpeg", {"exif": exif}
    elif number % 4 == 1:
        image = Image.fromarray(generator.integers(0, 4096, (16, 9), dtype=np.uint16))
        ending = "png"
    elif number % 4 == 2:
        image = Image.fromarray(generator.integers(0, 256, (9, 16, 4), dtype=np.uint8))
        ending = "png"
    else:
        image, ending = Image.fromarray(pixels(number, size=16)).quantize(7), "gif"
    file = io.BytesIO()
    image.save(file, ending, **options)
    return ending, file.getvalue()


def sample(number: int, label: str, *, size: int = 8) -> Sample:
    return f"{number:06d}", {"png": png(number, size=size), "cls": label.encode()}


def write_shard(path: Path, samples: Iterable[Sample]) -> Path:
    """A shard with the members of each sample in a row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for key, members in samples:
            for ending, content in members.items():
                about = tarfile.TarInfo(f"{key}.{ending}")
                about.size = len(content)
                tar.addfile(about, io.BytesIO(content))
    return path


def write_shards(folder: Path, *, shards: int, each: int, size: int = 8) -> str:
    """Shards of cats and dogs by turns, images 0, 1, ...; the pattern that names them."""
    for shard in range(shards):
        numbers = range(shard * each, (shard + 1) * each)
        write_shard(
            folder / f"train-{shard:03d}.tar",
            (sample(number, ("cat", "dog")[number % 2], size=size) for number in numbers),
        )
    return f"{folder}/train-{{000..{shards - 1:03d}}}.tar"
