"""Bring images to one size: crop, squash or pad."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from PIL import Image

from kerastl.backbones.base import Resizing

ResizeMode = Literal["crop", "squash", "pad"]
RESIZE_MODES: tuple[str, ...] = get_args(ResizeMode)

DEFAULT_RESIZING = Resizing(resize_size=256, crop_size=224)

REDUCED = "read at a reduced size"
"""Mark in the `info` of an image that is not as the file has it."""

# Longer side over `image_size` up to which a picture is scaled whole and then cut, as torchvision
# does it: longer ones cost memory for what is cut away.
_MOST_SCALED = 8

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


@dataclass(frozen=True)
class ImageSettings:
    """How decoded images become equal in size.

    Attributes:
        image_size: Height and width of the result, pixels.
        resize: "crop" scales the shorter side to the resize size of the
            weights' own evaluation, in proportion to `image_size`, and cuts
            out the centre; "squash" scales both sides to `image_size`; "pad"
            scales the longer side to `image_size` and fills the rest.
        resizing: The weights' own evaluation resize.
        background: Red, green and blue, 0-255, under transparency and beside
            a padded image.
        white: Value of 16-bit grey that becomes 255; None: 65535.
    """

    image_size: int
    resize: ResizeMode = "crop"
    resizing: Resizing = DEFAULT_RESIZING
    background: tuple[int, int, int] = (255, 255, 255)
    white: int | None = field(default=None, repr=False)

    @classmethod
    def checked(
        cls,
        image_size: int,
        *,
        resize: ResizeMode = "crop",
        resizing: Resizing | None = None,
        background: Sequence[int] = (255, 255, 255),
    ) -> ImageSettings:
        """The settings, once they are known to make sense.

        Raises:
            ValueError: If a value is outside its range; names it.
        """
        if not isinstance(image_size, int) or image_size < 1:
            raise ValueError(
                "`image_size` must be a whole number of pixels, 1 or more. "
                f"Received: image_size={image_size!r}."
            )
        check_resize(resize)
        resizing = DEFAULT_RESIZING if resizing is None else resizing
        if not 1 <= resizing.crop_size <= resizing.resize_size:
            raise ValueError(
                "`resizing` must cut out no more than it scales to. "
                f"Received: resizing={resizing!r}."
            )
        if resizing.interpolation not in _FILTERS:
            raise ValueError(
                f"`resizing` must interpolate by one of {', '.join(_FILTERS)}. "
                f"Received: interpolation={resizing.interpolation!r}."
            )
        if len(background) != 3 or not all(0 <= value <= 255 for value in background):
            raise ValueError(
                "`background` must be red, green and blue, each 0-255. "
                f"Received: background={background!r}."
            )
        red, green, blue = (int(value) for value in background)
        return cls(image_size, resize, resizing, (red, green, blue))


def check_resize(mode: str) -> None:
    """Refuse a way to bring images to size that does not exist.

    Raises:
        ValueError: If so.
    """
    if mode not in RESIZE_MODES:
        raise ValueError(
            f"`resize` must be one of {', '.join(RESIZE_MODES)}. Received: resize={mode!r}."
        )


def resized(image: Image.Image, settings: ImageSettings) -> np.ndarray:
    """An RGB image brought to size.

    Args:
        image: An image of mode "RGB" and any size.
        settings: The size, and how to get there.

    Returns:
        Pixels 0-255, `(image_size, image_size, 3)`, uint8, writable.
    """
    size = settings.image_size
    interpolation = _FILTERS[settings.resizing.interpolation]
    scaled = scaled_sides(image.size, settings)
    if settings.resize == "squash":
        return np.array(image.resize(scaled, interpolation))
    if settings.resize == "pad":
        canvas = Image.new("RGB", (size, size), settings.background)
        left, top = ((size - side) // 2 for side in scaled)
        canvas.paste(image.resize(scaled, interpolation), (left, top))
        return np.array(canvas)
    # Rounded as torchvision's centre crop rounds it, half to even.
    left, top = (round((side - size) / 2) for side in scaled)
    if REDUCED not in image.info and max(scaled) <= _MOST_SCALED * size:
        image = image.resize(scaled, interpolation)
        return np.array(image.crop((left, top, left + size, top + size)))
    # Scaling only what is cut out is faster and takes no memory for the rest of a long picture,
    # but may round by a step differently.
    (width, height), (across, down) = (
        image.size,
        (a / b for a, b in zip(image.size, scaled, strict=True)),
    )
    right, bottom = min(width, (left + size) * across), min(height, (top + size) * down)
    return np.array(
        image.resize((size, size), interpolation, box=(left * across, top * down, right, bottom))
    )


def scaled_sides(sides: tuple[int, int], settings: ImageSettings) -> tuple[int, int]:
    """Width and height that an image is scaled to, before it is cut or padded.

    For "crop" the longer side is rounded down.

    Args:
        sides: Width and height of the image, pixels.
        settings: The size, and how to get there.
    """
    size = settings.image_size
    if settings.resize == "squash":
        return size, size
    width, height = sides
    if settings.resize == "pad":
        longer = max(sides)
        return max(1, round(width * size / longer)), max(1, round(height * size / longer))
    resizing = settings.resizing
    shorter = round(size * resizing.resize_size / resizing.crop_size)
    if width <= height:
        return shorter, int(shorter * height / width)
    return int(shorter * width / height), shorter
