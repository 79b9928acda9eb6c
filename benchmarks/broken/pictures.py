"""What the files show: parts of photographs, and the drawings that compress oddly."""

from __future__ import annotations

import functools

import numpy as np
from PIL import Image, ImageDraw


@functools.cache
def photographs() -> tuple[np.ndarray, ...]:
    """Two photographs that come with scikit-learn, uint8, `(427, 640, 3)`."""
    from sklearn.datasets import load_sample_images

    return tuple(load_sample_images().images)


def photograph(number: int, width: int, height: int) -> Image.Image:
    """A part of a photograph; with every number another."""
    generator = np.random.default_rng(number)
    whole = photographs()[number % 2]
    rows, columns, _ = whole.shape
    if width > columns or height > rows:
        part = Image.fromarray(whole).resize((max(width, columns), max(height, rows)))
        return part.crop((0, 0, width, height))
    top = int(generator.integers(0, rows - height + 1))
    left = int(generator.integers(0, columns - width + 1))
    return Image.fromarray(whole[top : top + height, left : left + width].copy())


def drawing(number: int, width: int, height: int) -> Image.Image:
    """One of eight kinds of picture whose files have long runs of the same bytes."""
    generator = np.random.default_rng(number)
    kind = number % 8
    color = tuple(int(value) for value in generator.integers(0, 256, 3))
    image = Image.new("RGB", (width, height), (0, 0, 0) if kind in (0, 2, 3, 6) else color)
    draw = ImageDraw.Draw(image)
    if kind == 2:  # a mask
        draw.ellipse((width // 5, height // 6, width // 2, height // 2), fill=(255, 255, 255))
    elif kind == 3:  # stars
        for x, y in generator.integers(0, (width, height), (20, 2)):
            draw.point((int(x), int(y)), fill=(255, 255, 255))
    elif kind == 4:  # a page of text
        image.paste((255, 255, 255), (0, 0, width, height))
        for row in range(4, height // 2, 14):
            draw.text((4, row), "sound files of all kinds " * 3, fill=(0, 0, 0))
    elif kind == 5:  # grey below: what a JPEG cut in half looks like
        image.paste(photograph(number, width, max(1, height // 2)), (0, 0))
        image.paste((128, 128, 128), (0, height // 2, width, height))
    elif kind == 6:  # a photograph above black
        image.paste(photograph(number, width, max(1, height // 2)), (0, 0))
    elif kind == 7:  # a gradient
        ramp = np.linspace(0, 255, width).astype(np.uint8)
        image = Image.fromarray(np.broadcast_to(ramp[None, :, None], (height, width, 3)).copy())
    return image
