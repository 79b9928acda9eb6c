"""Embed small images in a page."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

SIDE = 192
"""Height and width of a picture in the page, pixels."""

_QUALITY = 82


def picture(pixels: np.ndarray) -> str:
    """An image as a data URI.

    Args:
        pixels: 0-255, uint8, `(height, width, 3)`.
    """
    return data_uri(small(pixels))


def fitted(image: Image.Image) -> str:
    """A whole image in its own proportion as a data URI, enlarged where it is tiny.

    Args:
        image: Of mode "RGB".
    """
    scale = SIDE / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    resample = Image.Resampling.NEAREST if scale >= 4 else Image.Resampling.BICUBIC
    return data_uri(image.resize((width, height), resample))


def small(pixels: np.ndarray) -> Image.Image:
    """An image scaled to the picture's size, without regard to its proportion."""
    return Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def data_uri(image: Image.Image) -> str:
    """A picture as a data URI."""
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
