"""An image under its Grad-CAM, small and embedded in the page."""

from __future__ import annotations

import numpy as np
from PIL import Image

from kerastl.pages.pictures import SIDE, data_uri, small

# How much of the picture the strongest heat covers.
_COVER = 0.65


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
    mixed = (1 - cover) * np.asarray(small(pixels)) + cover * colours
    return data_uri(Image.fromarray(mixed.astype("uint8")))
