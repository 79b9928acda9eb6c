"""The images that the jobs use, all made up and the same every time."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.jobs import NUM_CLASSES, SEED, Job

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_PHOTO_SIZE = (1152, 864)
_QUALITY = 90
_NOISE = 6.0
_CHUNK = 64
_DIFFERENT_SMALL_FILES = 10


def random_images(job: Job) -> tuple[np.ndarray, np.ndarray]:
    """Random pixels and classes.

    Returns:
        Pixels 0-255, uint8, `(images, height, width, 3)`, and class numbers,
        int64, `(images,)`.
    """
    generator = np.random.default_rng(SEED)
    shape = (job.images, job.image_size, job.image_size, 3)
    images = generator.integers(0, 256, shape, dtype=np.uint8)
    return images, generator.integers(0, NUM_CLASSES, job.images)


def normalised_tensors(job: Job) -> TensorDataset:
    """The same images as a torch loop likes them best: float32 `(images, 3, height, width)`.

    Normalised with ImageNet's mean and deviation, a part at a time, so that
    the peak of memory is the tensors themselves.
    """
    images, labels = random_images(job)
    mean = torch.tensor(IMAGENET_MEAN).view(3, 1, 1)
    std = torch.tensor(IMAGENET_STD).view(3, 1, 1)
    inputs = torch.empty((job.images, 3, job.image_size, job.image_size))
    for start in range(0, job.images, _CHUNK):
        part = torch.from_numpy(images[start : start + _CHUNK]).permute(0, 3, 1, 2)
        inputs[start : start + _CHUNK] = (part / 255 - mean) / std
    return TensorDataset(inputs, torch.from_numpy(labels))


def tensor_loader(job: Job) -> DataLoader:
    """`normalised_tensors` in shuffled batches, from this process."""
    return DataLoader(
        normalised_tensors(job), batch_size=job.batch_size, shuffle=True, num_workers=0
    )


def write_photos(folder: Path, job: Job) -> None:
    """Write JPEG files of one megapixel with the structure of photographs, a folder per class."""
    generator = np.random.default_rng(SEED)
    for number in range(job.images):
        path = _class_folder(folder, number) / f"{number:04}.jpg"
        _photo(generator).save(path, quality=_QUALITY)


def write_small_files(folder: Path, job: Job) -> None:
    """Write tiny JPEG files, a folder per class; many of them hold the same bytes."""
    generator = np.random.default_rng(SEED)
    contents = [_small_file(generator, job.image_size) for _ in range(_DIFFERENT_SMALL_FILES)]
    for number in range(job.images):
        path = _class_folder(folder, number) / f"{number:06}.jpg"
        path.write_bytes(contents[number % len(contents)])


def _class_folder(folder: Path, number: int) -> Path:
    path = folder / f"class-{number % NUM_CLASSES}"
    path.mkdir(exist_ok=True)
    return path


def _photo(generator: np.random.Generator) -> Image.Image:
    """Slow changes of colour, some edges and fine texture, and a sensor's noise."""
    width, height = _PHOTO_SIZE
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(0, 1, width, dtype=np.float32)[None, :]
    tilt, phase = generator.uniform(-60, 60, (2, 3)), generator.uniform(0, 6, 3)
    texture = 10 * np.sin(300 * x + 40 * y) * np.sin(20 * y + phase[0])
    edges = 25 * np.sign(np.sin(9 * x + phase[1]) + np.sin(7 * y + phase[2]))
    pixels = np.empty((height, width, 3), np.float32)
    for channel in range(3):
        slow = 128 + tilt[0, channel] * (x - 0.5) + tilt[1, channel] * np.sin(3 * y + phase)[:, :1]
        pixels[..., channel] = slow + texture + edges
    pixels += generator.normal(0, _NOISE, (height, width, 1))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _small_file(generator: np.random.Generator, image_size: int) -> bytes:
    pixels = generator.integers(0, 256, (image_size, image_size, 3), dtype=np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "JPEG")
    return encoded.getvalue()
