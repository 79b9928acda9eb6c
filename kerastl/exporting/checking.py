"""Compare an exported file's probabilities with the model's, in the file's own runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

TOLERANCE = 1e-4
"""Largest difference of a probability that a file may have from the model."""

NUM_IMAGES = 32
"""Images that a file is checked on."""

# Of scikit-learn's two photographs, 427 by 640 pixels.
_CROP = 240


def check_images(images: Any, model: Any) -> np.ndarray:
    """Images as a file takes them: float32, at most `NUM_IMAGES`.

    Raises:
        ValueError: If their shape is not the model's.
    """
    pixels = np.asarray(images)
    size = model.image_size
    if pixels.ndim != 4 or pixels.shape[1:] != (size, size, 3) or not len(pixels):
        raise ValueError(
            f"`images` must have the shape (images, {size}, {size}, 3). "
            f"Received: images of shape {pixels.shape}."
        )
    return pixels[:NUM_IMAGES].astype("float32")


def sample_images(size: int) -> np.ndarray:
    """Squares out of scikit-learn's two photographs, always the same.

    Args:
        size: Height and width, pixels.

    Returns:
        Pixels 0-255, uint8, `(images, size, size, 3)`.
    """
    from PIL import Image
    from sklearn.datasets import load_sample_images

    cut = []
    for photo in load_sample_images().images:
        picture = Image.fromarray(photo)
        for number in range(NUM_IMAGES // 2):
            left, top = 26 * number, 12 * number
            box = (left, top, left + _CROP, top + _CROP)
            cut.append(np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR, box)))
    return np.stack(cut)


def model_predictions(model: Any, images: np.ndarray) -> np.ndarray:
    """The model's probabilities, `(images, num_classes)`, in inference mode."""
    import keras

    return np.array(keras.ops.convert_to_numpy(model.predict_on_batch(images)))


def largest_difference(
    predict: Callable[[np.ndarray], np.ndarray], images: np.ndarray, expected: np.ndarray
) -> float:
    """How far the probabilities of a file are from the model's.

    The first image goes alone and the others together: so a file that takes
    one batch size only fails here.

    Args:
        predict: The opened file.
        images: Pixels 0-255, float32, `(images, height, width, 3)`.
        expected: The model's probabilities.

    Returns:
        The largest absolute difference; infinite where a number is not finite.

    Raises:
        RuntimeError: If the shape is not the model's.
    """
    batches = [images[:1], images[1:]] if len(images) > 1 else [images]
    found = np.concatenate([np.asarray(predict(batch)) for batch in batches])
    if found.shape != expected.shape:
        raise RuntimeError(f"it gives the shape {found.shape} and not {expected.shape}")
    difference = np.abs(found.astype("float64") - expected).max()
    return float(difference) if np.isfinite(difference) else float("inf")
