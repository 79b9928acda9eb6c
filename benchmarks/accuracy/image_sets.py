"""Small image sets that need no network: digits, clothes, two photographs, or your own folder."""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

NAMES = ("digits", "fashion-mnist", "photographs")
FOLDER = "folder:"
_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package `dataset-fashion-mnist` puts the four files."""
_TILE = 32
_IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


class MissingImageSetError(Exception):
    """A set is not on this machine; the sentence says what would bring it."""


@dataclass(frozen=True)
class ImageSet:
    """Labelled images, and which of them are for the test alone.

    Attributes:
        name: As on the command line.
        images: Pixels 0-255, uint8, `(images, size, size, 3)`.
        labels: Class of each image, int64.
        class_names: Name of each class.
        is_test: Which images the set itself keeps for the test; None: a seed decides.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    is_test: np.ndarray | None = None


@dataclass(frozen=True)
class Sample:
    """The images of one measurement.

    Attributes:
        images: Training images, uint8, the same number of each class.
        labels: Their classes.
        test_images: Held-out images.
        test_labels: Their classes.
        class_names: Name of each class.
    """

    images: np.ndarray
    labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    class_names: tuple[str, ...]


def load(name: str, image_size: int | None = None) -> ImageSet:
    """The image set of that name.

    Args:
        name: One of `NAMES` or `folder:PATH`, a folder with one subfolder per class.
        image_size: Height and width, pixels. None: what suits the set.

    Raises:
        MissingImageSetError: If it is not on this machine.
        ValueError: If there is no such set.
    """
    if name.startswith(FOLDER):
        return _folder(name, image_size or 96)
    if name not in _LOADERS:
        raise ValueError(
            f"`data` must be {', '.join(NAMES)} or {FOLDER}PATH. Received: data={name!r}."
        )
    loader, suited = _LOADERS[name]
    return loader(image_size or suited)


def draw(images: ImageSet, per_class: int, seed: int, *, most_tests: int = 500) -> Sample | None:
    """So many training images of each class, and held-out images, by a seed.

    Args:
        images: The set.
        per_class: Training images of each class.
        seed: Decides which.
        most_tests: Held-out images at most, spread evenly over the classes.

    Returns:
        The images, or None where a class has too few.
    """
    random = np.random.default_rng([seed, per_class])
    tests_per_class = max(most_tests // len(images.class_names), 1)
    train, test = [], []
    for number in range(len(images.class_names)):
        own = random.permutation(np.flatnonzero(images.labels == number))
        if images.is_test is None:
            chosen, held_out = own[:per_class], own[per_class:]
        else:
            chosen = own[~images.is_test[own]][:per_class]
            held_out = own[images.is_test[own]]
        if len(chosen) < per_class or not len(held_out):
            return None
        train.append(chosen)
        test.append(held_out[:tests_per_class])
    chosen = random.permutation(np.concatenate(train))
    held_out = np.concatenate(test)
    return Sample(
        images.images[chosen],
        images.labels[chosen],
        images.images[held_out],
        images.labels[held_out],
        images.class_names,
    )


def tiles(photo: np.ndarray, *, rows: int, columns: int, tile: int) -> list[np.ndarray]:
    """Tiles that do not overlap, of each region of a photo cut in `rows` by `columns`.

    Args:
        photo: Pixels, `(height, width, 3)`.
        rows: Regions from top to bottom.
        columns: Regions from left to right.
        tile: Height and width of a tile, pixels.

    Returns:
        For each region, row by row, `(tiles, tile, tile, 3)`.
    """
    height, width = photo.shape[0] // rows, photo.shape[1] // columns
    regions = []
    for top in range(0, rows * height, height):
        for left in range(0, columns * width, width):
            region = photo[top : top + height, left : left + width]
            corners = [
                (y * tile, x * tile) for y in range(height // tile) for x in range(width // tile)
            ]
            regions.append(np.stack([region[y : y + tile, x : x + tile] for y, x in corners]))
    return regions


def _digits(size: int) -> ImageSet:
    from sklearn.datasets import load_digits

    digits = load_digits()
    grey = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    names = tuple(str(number) for number in range(10))
    return ImageSet("digits", _enlarged(grey, size), digits.target.astype(np.int64), names)


def _fashion_mnist(size: int) -> ImageSet:
    parts = []
    for part, most in (("train", 4000), ("t10k", 2000)):
        files = [
            _FASHION_MNIST / f"{part}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")
        ]
        if not all(file.is_file() for file in files):
            raise MissingImageSetError(
                f"Fashion-MNIST is not in {_FASHION_MNIST}: Debian's package "
                "dataset-fashion-mnist brings it."
            )
        grey = _idx(files[0], header=16).reshape(-1, 28, 28)[:most]
        parts.append((grey, _idx(files[1], header=8)[:most]))
    grey = np.concatenate([images for images, _ in parts])
    labels = np.concatenate([labels for _, labels in parts]).astype(np.int64)
    is_test = np.arange(len(labels)) >= len(parts[0][1])
    names = ["t-shirt", "trouser", "pullover", "dress", "coat"]
    names += ["sandal", "shirt", "sneaker", "bag", "boot"]
    return ImageSet("fashion-mnist", _enlarged(grey, size), labels, tuple(names), is_test)


def _idx(file: Path, *, header: int) -> np.ndarray:
    return np.frombuffer(gzip.decompress(file.read_bytes()), np.uint8, offset=header)


def _photographs(size: int) -> ImageSet:
    """Which of two photographs a tile is of, and of which quarter."""
    from sklearn.datasets import load_sample_images

    photos = load_sample_images()
    images, names = [], []
    for photo, file in zip(photos.images, photos.filenames, strict=True):
        images += tiles(np.asarray(photo), rows=2, columns=2, tile=_TILE)
        quarters = ("top left", "top right", "bottom left", "bottom right")
        names += [f"{Path(file).stem} {quarter}" for quarter in quarters]
    labels = np.repeat(np.arange(len(images)), [len(group) for group in images])
    pixels = _enlarged(np.concatenate(images), size)
    return ImageSet("photographs", pixels, labels, tuple(names))


def _folder(name: str, size: int) -> ImageSet:
    root = Path(name.removeprefix(FOLDER)).expanduser()
    folders = sorted(path for path in root.glob("*") if path.is_dir())
    if len(folders) < 2:
        raise MissingImageSetError(f"{root} has no two subfolders, one for each class.")
    images, labels = [], []
    for number, folder in enumerate(folders):
        for file in sorted(folder.iterdir()):
            if file.suffix.lower() in _IMAGE_ENDINGS:
                images.append(_square(file, size))
                labels.append(number)
    names = tuple(folder.name for folder in folders)
    return ImageSet(name, np.stack(images), np.array(labels, np.int64), names)


def _square(file: Path, size: int) -> np.ndarray:
    """The largest square in the middle, at size."""
    with Image.open(file) as image:
        height_and_width = min(image.size)
        left, top = (math.floor((side - height_and_width) / 2) for side in image.size)
        box = (left, top, left + height_and_width, top + height_and_width)
        pixels = image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC, box=box)
    return np.asarray(pixels)


def _enlarged(images: np.ndarray, size: int) -> np.ndarray:
    resized = [
        Image.fromarray(image).convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
        for image in images
    ]
    return np.stack([np.asarray(image) for image in resized])


_LOADERS: dict[str, tuple[Callable[[int], ImageSet], int]] = {
    "digits": (_digits, 48),
    "fashion-mnist": (_fashion_mnist, 64),
    "photographs": (_photographs, 64),
}


def load_present(
    names: Sequence[str], *, image_size: int | None = None, echo: Callable[[str], None]
) -> list[ImageSet]:
    """The sets that are on this machine; a sentence about each other one."""
    present = []
    for name in names:
        try:
            present.append(load(name, image_size))
        except MissingImageSetError as missing:
            echo(f"{name}: skipped. {missing}")
    return present
