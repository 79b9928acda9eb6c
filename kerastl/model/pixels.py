"""Whether images are pixels 0-255: what a model cannot see, and would train on all the same."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kerastl.backbones.base import Preprocessing

_MOST_IMAGES = 32
"""Images of a batch that are looked at."""

# Resampling (bicubic, Lanczos) goes beyond the range of the pixels, by so much at most.
_OVERSHOOT = 65
_FEW, _MANY = 0.02, 0.1
# Of images scaled to 0-1 or normalised, no value is beyond.
_NORMALISED = 20
_CHANNELS = 3
# Least standard deviation of what is a picture of 0-1 and not a black one of 0-255.
_PICTURE = 0.1


@dataclass(frozen=True)
class Finding:
    """What is wrong with images.

    Attributes:
        text: What was received and what to do, in sentences.
        is_certain: Whether they cannot be pixels 0-255; else that is only unlikely.
    """

    text: str
    is_certain: bool = True


def check_pixels(
    images: Any,
    *,
    argument: str,
    image_shape: Sequence[int],
    preprocessing: Preprocessing,
    spec: str,
) -> None:
    """Refuse images that cannot be pixels 0-255, and warn of those that hardly are.

    Args:
        images: A batch, or all images, of which some are looked at.
        argument: What they are called.
        image_shape: Height, width and channels that the model takes.
        preprocessing: The model's; it says what the model wants.
        spec: The backbone.

    Raises:
        ValueError: If they are other than that.
    """
    layout = layout_finding(tuple(images.shape), tuple(image_shape))
    if layout is not None:
        raise ValueError(
            f"Each image of `{argument}` must have the shape {tuple(image_shape)}. {layout}"
        )
    values = some_pixels(images)
    wants = wants_pixels(preprocessing, spec)
    finding = None if values is None else value_finding(values, wants_pixels=wants)
    if finding is None and values is not None and wants:
        finding = mixture_finding(values)
    if finding is None:
        return
    text = f"`{argument}` must hold pixels 0-255. {finding.text}"
    if finding.is_certain:
        raise ValueError(
            f"{text} If the images are right all the same, set `model.checks_pixels = False`."
        )
    warnings.warn(
        f"{text} If they are right, nothing need be done; `model.checks_pixels = False` ends this.",
        stacklevel=2,
    )


def images_of(batch: Any) -> Any:
    """The images of a batch of `fit`, `evaluate` or `predict`; None where it has none."""
    images = batch[0] if isinstance(batch, tuple | list) and len(batch) else batch
    if isinstance(images, list | tuple) and len(images) == 1:
        (images,) = images
    if isinstance(images, Mapping):
        images = next(iter(images.values())) if len(images) == 1 else None
    return images if hasattr(images, "shape") else None


def some_pixels(images: Any) -> np.ndarray | None:
    """Some of the images, spread over all, as an array; None where they are no numbers."""
    step = max(1, -(-int(images.shape[0]) // _MOST_IMAGES))
    some = images[::step]
    if hasattr(some, "detach"):
        some = some.detach().cpu()
        some = some.float() if some.is_floating_point() else some
    values = np.asarray(some if hasattr(some, "numpy") else keras.ops.convert_to_numpy(some))
    return values if values.size and values.dtype.kind in "buif" else None


def wants_pixels(preprocessing: Preprocessing, spec: str) -> bool:
    """Whether a model scales its images from 0-255 itself, or takes them as they are.

    The user's own module without any preprocessing may want anything. What is
    left of 0-255 after scaling is about as wide as a network's input, or 255.
    """
    span = 255 * preprocessing.scale / min(preprocessing.std)
    is_identity = span == 255 and not any(preprocessing.mean)
    return 0.5 <= span <= 600 and not (is_identity and spec.startswith("module:"))


def layout_finding(shape: Sequence[int], wanted: Sequence[int]) -> str | None:
    """What is wrong with the axes of a batch, and what to do; its size is for Keras to judge.

    Args:
        shape: Of the batch.
        wanted: Of an image, `(height, width, 3)`.
    """
    received = f"Received: shape {tuple(shape)}"
    if tuple(shape) == tuple(wanted):
        return f"{received}, a single image. Pass image[None], a batch of one."
    if len(shape) == 3 and tuple(shape[1:]) == tuple(wanted[:2]):
        return f"{received}, without channels. Repeat the grey values thrice."
    if len(shape) != 4 or shape[-1] == wanted[-1]:
        return None
    if shape[1] == _CHANNELS:
        return (
            f"{received}, channels first. Move them to the end: `images.permute(0, 2, 3, 1)` of "
            "a tensor, `numpy.moveaxis(images, 1, -1)` of an array."
        )
    if shape[-1] in (1, 4) and tuple(shape[1:3]) == tuple(wanted[:2]):
        what = "one channel" if shape[-1] == 1 else "four channels"
        return f"{received}, {what}. Convert the images to RGB."
    return None


def value_finding(values: np.ndarray, *, wants_pixels: bool) -> Finding | None:
    """What is wrong with the values of some images.

    Args:
        values: Of any shape.
        wants_pixels: Whether they should be 0-255; else they need only be finite.
    """
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        return Finding("Received: NaN or infinite values. Mend or leave out these images.")
    if not wants_pixels:
        return None
    low, high = float(values.min()), float(values.max())
    received = f"Received: values from {low:.4g} to {high:.4g}"
    if high > 255:
        return _too_high(values, high, received)
    if low < 0:
        return _negative(values, low, high, received)
    return _low(values, high, received)


def mixture_finding(values: np.ndarray) -> Finding | None:
    """Some images scaled to 0-1 among others that are not, as a loader of PNG and JPEG gives.

    Args:
        values: A batch, `(images, height, width, channels)`, as a whole 0-255.
    """
    if values.dtype.kind != "f" or values.ndim < 2:
        return None
    by_image = values.reshape(len(values), -1)
    highest, spread = by_image.max(1), by_image.std(1)
    scaled = (highest <= 1) & (spread > _PICTURE) & (by_image != np.rint(by_image)).any(1)
    if not scaled.any() or scaled.mean() < _MANY:
        return None
    return Finding(
        f"Received: {scaled.sum()} of {len(values)} images that were looked at with values of at "
        "most 1, and others beyond, as where some are scaled to 0-1. Scale all alike, to 0-255.",
        is_certain=False,
    )


def _too_high(values: np.ndarray, high: float, received: str) -> Finding | None:
    if values.dtype.kind != "f" or high > 255 + _OVERSHOOT:
        return Finding(
            f"{received}, as of images of 10, 12 or 16 bits. Scale their range to 0-255."
        )
    if (values > 255).mean() > _MANY:
        return Finding(f"{received}. Clip them to 0-255.", is_certain=False)
    return None


def _negative(values: np.ndarray, low: float, high: float, received: str) -> Finding | None:
    share = float((values < 0).mean())
    advice = "Leave that out: the model scales and normalises by itself."
    if values.dtype.kind != "f":
        return Finding(f"{received}, as of signed numbers. Add what was taken off.")
    if high <= _NORMALISED and low >= -_NORMALISED:
        is_certain = share > _FEW
        return Finding(f"{received}, as of normalised images. {advice}", is_certain=is_certain)
    if share > _MANY or low < -_OVERSHOOT:
        return Finding(f"{received}, as of images whose mean was taken off. {advice}")
    return None


def _low(values: np.ndarray, high: float, received: str) -> Finding | None:
    is_whole = values.dtype.kind != "f" or np.array_equal(values, np.rint(values))
    if high == 0 or (is_whole and high not in (1, 16)) or (high > 3 and not is_whole):
        return None
    if is_whole and high == 1:
        return Finding(
            f"{received}, 0 and 1 alone, as of masks. If 1 is white, multiply by 255.",
            is_certain=False,
        )
    if is_whole:
        if (values == high).mean() <= _FEW / 2:
            return None  # dark images; levels of grey reach their highest often
        return Finding(
            f"{received}, as of 16 levels of grey. If 16 is white, scale them to 0-255.",
            is_certain=False,
        )
    if high > 1:
        return Finding(f"{received}, hardly more than black.", is_certain=False)
    levels = values * 255.0
    is_scaled = high >= 0.25 or np.allclose(levels, np.rint(levels), atol=1e-3)
    return Finding(
        f"{received}, as of images scaled to 0-1. Multiply them by 255, or leave the scaling out.",
        is_certain=bool(is_scaled),
    )
