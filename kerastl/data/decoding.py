"""Decode an image file of any kind to 8-bit RGB."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import ceil
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from kerastl.backbones.base import Resizing
from kerastl.data.formats import readable_formats
from kerastl.data.opening import in_turn, pixel_limit_stated, regular_file
from kerastl.data.resizing import (
    REDUCED,
    ImageSettings,
    ResizeMode,
    resized,
    scaled_sides,
)
from kerastl.data.wholeness import load_whole
from kerastl.errors import BrokenImagesError

Color = tuple[int, int, int]

WHITE: Color = (255, 255, 255)

# Pixels that are converted at a time, so that a large picture is not there four times over.
_PIXELS_AT_A_TIME = 1 << 22

FULL_WHITE = 65535
"""White of 16-bit grey, where nothing else is known."""

# Sides of a reduced JPEG over those wanted: what is left to scale smoothly.
_SPARE = 1.5


def decoded(
    source: Path | bytes, *, background: Color = WHITE, settings: ImageSettings | None = None
) -> Image.Image:
    """The first picture of an image file, upright, as 8-bit RGB.

    16-bit grey is scaled to 8 bit (65535 or the settings' `white` becomes 255),
    CMYK and palettes are converted, transparency lies over `background`, and
    the EXIF orientation is applied.

    Args:
        source: An image file, or its content.
        background: Red, green and blue, 0-255.
        settings: What the image will be scaled to: a large JPEG is then read
            at a half, a quarter or an eighth of its size, whichever is still
            half as large again. None: at its own size.

    Returns:
        An image of mode "RGB".

    Raises:
        OSError: If the image is truncated or damaged, of no known format, or no
            regular file.
        ValueError: If its pixels have no defined range, as 32-bit ones, or if
            there are more of them than `KERASTL_MAX_PIXELS`.
    """
    with (
        regular_file(source) as file,
        pixel_limit_stated(),
        Image.open(file, formats=readable_formats()) as image,
    ):
        if settings is not None and image.format == "JPEG" and image.mode in ("RGB", "L"):
            whole = image.size
            width, height = scaled_sides(whole, settings)
            image.draft(image.mode, (ceil(width * _SPARE), ceil(height * _SPARE)))
            if image.size != whole:
                image.info[REDUCED] = True
        with in_turn(image.width * image.height):
            load_whole(image, file)
            _turn_upright(image)
            return _as_rgb(image, background, (settings and settings.white) or FULL_WHITE)


def load_image(
    path: str | os.PathLike[str],
    *,
    image_size: int,
    resize: ResizeMode = "crop",
    resizing: Resizing | None = None,
    background: Color = WHITE,
    white: int | None = None,
) -> np.ndarray:
    """One image file, decoded and brought to size as `load_data` does it.

    Args:
        path: The file.
        image_size: Height and width of the result, pixels.
        resize: "crop", "squash" or "pad"; see `ImageSettings`.
        resizing: The weights' own evaluation resize, or None for 256 to 224.
        background: Colour under transparency and beside a padded image.
        white: Value of 16-bit grey that becomes 255, as `model.white` has it; None: 65535.

    Returns:
        Pixels 0-255, `(image_size, image_size, 3)`, uint8.

    Raises:
        BrokenImagesError: If the file cannot be decoded; says why.
    """
    settings = ImageSettings.checked(
        image_size, resize=resize, resizing=resizing, background=background
    )
    settings = replace(settings, white=white)
    try:
        with quiet_decoding():
            image = decoded(Path(path), background=settings.background, settings=settings)
        return resized(image, settings)
    except Exception as error:
        raise BrokenImagesError(
            f"`path` must be an image that can be decoded. Received: path={os.fspath(path)!r}. "
            f"Reason: {decoding_reason(error)}."
        ) from error


@contextlib.contextmanager
def quiet_decoding() -> Iterator[None]:
    """Keeps Pillow's remarks on odd metadata and large images to itself."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def decoding_reason(error: Exception) -> str:
    """Why an image could not be decoded, in words that do not repeat its path."""
    if isinstance(error, UnidentifiedImageError):
        return "empty, or not an image of a known format"
    if isinstance(error, MemoryError):
        return "the memory does not suffice for its pixels"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _turn_upright(image: Image.Image) -> None:
    """Turn a loaded image as its EXIF orientation says; Pillow turns TIFF by itself."""
    # Broken metadata raise almost anything; the pixels are sound, and in place no copy is made.
    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)


def is_sixteen_bit(image: Image.Image) -> bool:
    """Whether a picture is of 16-bit grey."""
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))


def _as_rgb(image: Image.Image, background: Color, white: int) -> Image.Image:
    if is_sixteen_bit(image):
        return _in_bands(image, lambda band: _eight_bit(band, white).convert("RGB"))
    if image.mode in ("I", "F"):
        raise ValueError("32-bit pixels have no defined range; save the image with 8 or 16 bits")
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        return _in_bands(image, lambda band: _over(background, band))
    return image if image.mode == "RGB" else image.convert("RGB")


def _in_bands(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """What `convert` makes of an image, some rows at a time, which gives the same pixels."""
    width, height = image.size
    rows = max(1, _PIXELS_AT_A_TIME // width)
    if rows >= height:
        return convert(image)
    whole = Image.new("RGB", image.size)
    for top in range(0, height, rows):
        whole.paste(convert(image.crop((0, top, width, min(top + rows, height)))), (0, top))
    return whole


def _over(background: Color, image: Image.Image) -> Image.Image:
    canvas = Image.new("RGBA", image.size, (*background, 255))
    return Image.alpha_composite(canvas, image.convert("RGBA")).convert("RGB")


def _eight_bit(image: Image.Image, white: int) -> Image.Image:
    """Grey values 0 to `white` scaled to 0-255; Pillow's own conversion clips them instead."""
    values = np.asarray(image).astype(np.uint32)
    if values.max() > white:
        raise ValueError(
            f"its 16-bit values reach {values.max()}, beyond 0-{white}, the range of the images "
            "that the model was trained on"
        )
    return Image.fromarray(((values * 255 + white // 2) // white).astype(np.uint8))
