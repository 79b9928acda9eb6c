"""Embed small images in the page."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

SIDE = 192
"""Height and width of a picture in the page, pixels."""

_QUALITY = 82
# How much of the picture the strongest heat covers.
_COVER = 0.65


def picture(pixels: np.ndarray) -> str:
    """An image as a data URI.

    Args:
        pixels: 0-255, uint8, `(height, width, 3)`.
    """
    return _data_uri(_small(pixels))


def heated(pixels: np.ndarray, heat: np.ndarray) -> str:
    """An image under its Grad-CAM as a data URI.

    Args:
        pixels: 0-255, uint8, `(height, width, 3)`.
        heat: 0 or more, `(map height, map width)`; its largest value becomes
            the strongest colour.
    """
    from matplotlib import colormaps

    scaled = heat / max(float(heat.max()), np.finfo("float32").tiny)
    size = (SIDE, SIDE)
    levels = Image.fromarray((255 * scaled).astype("uint8")).resize(size, Image.Resampling.BILINEAR)
    strength = np.asarray(levels, dtype="float32")[..., None] / 255
    colours = 255 * colormaps["inferno"](strength[..., 0])[..., :3]
    cover = _COVER * strength
    mixed = (1 - cover) * np.asarray(_small(pixels)) + cover * colours
    return _data_uri(Image.fromarray(mixed.astype("uint8")))


def _small(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def _data_uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
