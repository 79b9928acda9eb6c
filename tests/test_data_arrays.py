"""Images and labels as arrays, and the digits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kerastl.data.arrays import array_data
from kerastl.data.digits import read_source
from kerastl.data.items import ArrayItems
from kerastl.data.specs import DataSpec

PIXELS = np.arange(4 * 2 * 3 * 3, dtype=np.uint8).reshape(4, 2, 3, 3)
LABELS = [0, 1, 0, 1]


def rgb(images: Any, labels: Any = LABELS) -> np.ndarray:
    items = array_data(images, labels).parts["train"]
    assert isinstance(items, ArrayItems)
    return items.images


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint16, np.float32, np.float64])
def test_pixels_of_any_type_become_8_bit(dtype: Any) -> None:
    images = rgb(PIXELS.astype(dtype))
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, PIXELS)


@pytest.mark.parametrize("images", [PIXELS[..., 0], PIXELS[..., :1]])
def test_grey_becomes_three_channels(images: np.ndarray) -> None:
    expected = np.stack([PIXELS[..., 0]] * 3, axis=-1)
    np.testing.assert_array_equal(rgb(images), expected)


def test_floats_are_rounded() -> None:
    assert rgb(np.full((4, 1, 1, 3), 99.6)).max() == 100


def test_class_names_are_numbers_unless_given() -> None:
    assert array_data(PIXELS, LABELS).class_names == ("0", "1")
    assert array_data(PIXELS, LABELS, class_names=["no", "yes"]).class_names == ("no", "yes")


@pytest.mark.parametrize(
    ("images", "labels", "kind", "message"),
    [
        (PIXELS[0, 0], LABELS, ValueError, r"shape \(3, 3\)"),
        (np.zeros((4, 2, 3, 4)), LABELS, ValueError, "1 or 3 channels"),
        (PIXELS[:0], [], ValueError, r"`images` must have the shape"),
        (PIXELS.astype(str), LABELS, TypeError, "`images` must hold numbers"),
        (PIXELS.astype(float) - 1, LABELS, ValueError, "pixels 0-255. Received: values from -1"),
        (PIXELS.astype(float) * 9, LABELS, ValueError, "pixels 0-255"),
        (np.full((4, 2, 2, 3), np.nan), LABELS, ValueError, "pixels 0-255"),
        (PIXELS / 255, LABELS, ValueError, "Multiply them by 255"),
        (PIXELS, np.eye(4, dtype=int), ValueError, "not one-hot"),
        (PIXELS, [0.0, 1.0, 0.0, 1.0], TypeError, "`labels` must be whole numbers"),
        (PIXELS, ["a", "b", "a", "b"], TypeError, "Give each class a number"),
        (PIXELS, [0, 1], ValueError, "as many as the images, 4. Received: 2"),
        (PIXELS, [0, -1, 0, 1], ValueError, "labels from -1 to 1"),
        (PIXELS, [0, 0, 0, 0], ValueError, "at least two classes"),
        (PIXELS, [1, 2, 1, 2], ValueError, "2 classes of 3, without class 0"),
    ],
)
def test_a_wrong_array_is_named(
    images: Any, labels: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        array_data(images, labels)


def test_a_label_beyond_the_class_names_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"between 0 and 1\. Received: labels from 0 to 2"):
        array_data(PIXELS, [0, 1, 2, 1], class_names=["a", "b"])


def test_the_digits_use_the_whole_range() -> None:
    from sklearn.datasets import load_digits

    data = read_source(DataSpec("digits"))
    items = data.parts["train"]
    assert isinstance(items, ArrayItems)
    assert items.images.shape == (1797, 8, 8, 3)
    assert data.class_names == tuple("0123456789")
    levels = {0: 0, 1: 16, 4: 64, 15: 239, 16: 255}
    original = load_digits().images
    for grey, scaled in levels.items():
        assert (items.images[original == grey] == scaled).all()


@pytest.mark.parametrize("scale", [1 / 255, 1.02 / 255, 2.5 / 255])
def test_images_scaled_to_1_and_a_little_beyond_are_refused(scale):
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)) * scale
    with pytest.raises(ValueError, match="look scaled to 0-1"):
        array_data(images, np.array([0, 1, 0, 1]))


def test_dark_images_of_whole_numbers_are_images():
    images = np.random.default_rng(0).integers(0, 3, (4, 8, 8, 3)).astype("float32")
    assert array_data(images, np.array([0, 1, 0, 1])).class_names == ("0", "1")
