"""Crop equals the weights' own evaluation; squash and pad do what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import InterpolationMode, functional
from torchvision.transforms._presets import ImageClassification

from kerastl.backbones.base import Resizing
from kerastl.data.resizing import ImageSettings, resized, scaled_sides


def picture(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(width * height).integers(0, 256, (height, width, 3))
    return Image.fromarray(pixels.astype(np.uint8))


SIZES = [(300, 200), (200, 301), (64, 64), (9, 7), (257, 256), (31, 100)]
RESIZINGS = [
    Resizing(64, 56),
    Resizing(58, 56, "bicubic"),
    Resizing(61, 48, "nearest"),
    Resizing(48, 48),
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("resizing", RESIZINGS)
def test_crop_is_torchvisions_own_evaluation(size: tuple[int, int], resizing: Resizing) -> None:
    image = picture(*size)
    preset = ImageClassification(
        crop_size=resizing.crop_size,
        resize_size=resizing.resize_size,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        interpolation=InterpolationMode(resizing.interpolation),
    )
    expected = (preset(image) * 255).round().byte().permute(1, 2, 0).numpy()
    settings = ImageSettings.checked(resizing.crop_size, resizing=resizing)
    np.testing.assert_array_equal(resized(image, settings), expected)


@pytest.mark.parametrize(("image_size", "shorter"), [(112, 128), (64, 73), (300, 343)])
def test_another_size_scales_the_resize_in_proportion(image_size: int, shorter: int) -> None:
    image = picture(150, 120)
    scaled = functional.resize(image, [shorter], interpolation=InterpolationMode.BILINEAR)
    expected = np.array(functional.center_crop(scaled, [image_size]))
    result = resized(image, ImageSettings.checked(image_size, resizing=Resizing(256, 224)))
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("resize", ["crop", "squash", "pad"])
def test_every_mode_gives_the_size_asked_for(resize: Any, size: tuple[int, int]) -> None:
    result = resized(picture(*size), ImageSettings.checked(33, resize=resize))
    assert result.shape == (33, 33, 3)
    assert result.dtype == np.uint8
    assert result.flags.writeable


def test_squash_scales_both_sides() -> None:
    image = picture(40, 20)
    expected = np.array(image.resize((10, 10), Image.Resampling.BILINEAR))
    result = resized(image, ImageSettings.checked(10, resize="squash"))
    np.testing.assert_array_equal(result, expected)


def test_pad_keeps_the_whole_image_between_background() -> None:
    image = picture(40, 20)
    settings = ImageSettings.checked(20, resize="pad", background=(1, 2, 3))
    result = resized(image, settings)
    expected = np.array(image.resize((20, 10), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(result[5:15], expected)
    assert (result[:5] == [1, 2, 3]).all()
    assert (result[15:] == [1, 2, 3]).all()


def test_pad_keeps_at_least_one_pixel_of_a_line() -> None:
    line = Image.new("RGB", (500, 1), "red")
    result = resized(line, ImageSettings.checked(10, resize="pad"))
    assert (result == [255, 0, 0]).all(axis=-1).sum() == 10


@pytest.mark.parametrize("size", [(3000, 150), (90, 2000), (33, 700), (2100, 64)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_long_picture_is_cut_before_it_is_scaled_and_looks_the_same(
    size: tuple[int, int], interpolation: Any
) -> None:
    columns, rows = np.meshgrid(*(np.linspace(0, side / 7, side) for side in size))
    waves = np.stack([127 + 90 * np.sin(rows + c) * np.cos(columns - c) for c in range(3)], -1)
    image = Image.fromarray(waves.astype(np.uint8))
    settings = ImageSettings.checked(32, resizing=Resizing(36, 32, interpolation))
    scaled = image.resize(scaled_sides(size, settings), Image.Resampling[interpolation.upper()])
    expected = np.array(functional.center_crop(scaled, [32])).astype(int)
    # Both passes are rounded, and Pillow makes first whichever is less work.
    assert np.abs(resized(image, settings) - expected).max() <= 2


@pytest.mark.parametrize("size", [(1, 60_000), (60_000, 1), (2, 5_000_000)])
@pytest.mark.parametrize("resize", ["crop", "squash", "pad"])
def test_a_line_of_pixels_is_scaled_to_no_more_than_is_kept(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], resize: Any
) -> None:
    sizes = []
    original = Image.Image.resize

    def resize_and_count(image: Image.Image, size: tuple[int, int], *rest: Any, **more: Any) -> Any:
        sizes.append(size)
        return original(image, size, *rest, **more)

    monkeypatch.setattr(Image.Image, "resize", resize_and_count)
    result = resized(Image.new("RGB", size, (9, 200, 3)), ImageSettings.checked(32, resize=resize))
    assert (result == [9, 200, 3]).all(axis=-1).any()
    assert max(width * height for width, height in sizes) <= 32 * 32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 0}, "`image_size` must"),
        ({"image_size": 9.5}, "`image_size` must"),
        ({"resize": "stretch"}, "`resize` must be one of crop, squash, pad"),
        ({"resizing": Resizing(100, 224)}, "`resizing` must cut out no more"),
        ({"resizing": Resizing(100, 90, "lanczos")}, "`resizing` must interpolate"),  # type: ignore[arg-type]
        ({"background": (0, 0)}, "`background` must"),
        ({"background": (0, 0, 256)}, "`background` must"),
    ],
)
def test_a_setting_outside_its_range_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageSettings.checked(**{"image_size": 8, **arguments})
