"""Every image format and mode becomes the 8-bit RGB that it should."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kerastl.data import load_image
from kerastl.data.decoding import decoded
from kerastl.data.resizing import ImageSettings, resized, scaled_sides
from kerastl.errors import BrokenImagesError

LOSSLESS: dict[str, dict[str, Any]] = {"webp": {"lossless": True}}

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
GREY = PIXELS[..., 0]


def decoded_array(path: Path, background: tuple[int, int, int] = (255, 255, 255)) -> np.ndarray:
    image = decoded(path, background=background)
    assert image.mode == "RGB"
    return np.array(image)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "tif", "webp"])
def test_a_lossless_file_keeps_every_pixel(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(PIXELS).save(path, **LOSSLESS.get(suffix, {}))
    np.testing.assert_array_equal(decoded_array(path), PIXELS)


@pytest.mark.parametrize("name", ["image.jpg", "image.JPEG"])
def test_a_jpeg_decodes_to_what_pillow_says(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    Image.fromarray(PIXELS).save(path, quality=95)
    np.testing.assert_array_equal(decoded_array(path), np.array(Image.open(path)))


def test_grey_has_three_equal_channels(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "grey.png")
    expected = np.repeat(GREY[..., None], 3, axis=-1)
    np.testing.assert_array_equal(decoded_array(tmp_path / "grey.png"), expected)


def test_black_and_white_becomes_0_and_255(tmp_path: Path) -> None:
    Image.fromarray(GREY > 127).save(tmp_path / "bits.png")
    expected = np.repeat(np.where(GREY > 127, 255, 0)[..., None], 3, axis=-1)
    np.testing.assert_array_equal(decoded_array(tmp_path / "bits.png"), expected)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bit_grey_is_scaled_not_clipped(tmp_path: Path, suffix: str) -> None:
    values = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    path = tmp_path / f"deep.{suffix}"
    Image.fromarray(values).save(path)
    expected = np.floor(values / 65535 * 255 + 0.5).astype(np.uint8)
    result = decoded_array(path)
    np.testing.assert_array_equal(result, np.repeat(expected[..., None], 3, axis=-1))
    assert (result.min(), result.max()) == (0, 255)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_32_bit_pixels_are_refused(tmp_path: Path, mode: str) -> None:
    Image.fromarray(GREY).convert(mode).save(tmp_path / "wide.tiff")
    with pytest.raises(ValueError, match="save the image with 8 or 16 bits"):
        decoded(tmp_path / "wide.tiff")


def test_a_palette_gives_its_colours(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [1, 0]], dtype=np.uint8)).convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.save(tmp_path / "palette.png")
    expected = np.array([[10, 20, 30], [40, 50, 60]], dtype=np.uint8)[[[0, 1], [1, 0]]]
    np.testing.assert_array_equal(decoded_array(tmp_path / "palette.png"), expected)


def test_a_transparent_palette_colour_shows_the_background(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8)).convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.save(tmp_path / "palette.png", transparency=bytes([255, 0]))
    expected = [[[10, 20, 30], [255, 255, 255]]]
    assert decoded_array(tmp_path / "palette.png").tolist() == expected


# 140/255 of the colour and 115/255 of the background.
@pytest.mark.parametrize(
    ("background", "expected"),
    [((255, 255, 255), [170, 190, 210]), ((0, 0, 0), [55, 75, 95]), ((0, 255, 0), [55, 190, 95])],
)
def test_alpha_lies_over_the_background(
    tmp_path: Path, background: tuple[int, int, int], expected: list[int]
) -> None:
    colour = np.array([[[100, 137, 173, 140]]], dtype=np.uint8)
    Image.fromarray(colour).save(tmp_path / "alpha.png")
    result = decoded_array(tmp_path / "alpha.png", background)[0, 0]
    np.testing.assert_array_equal(result, expected)


def test_grey_with_alpha_lies_over_white(tmp_path: Path) -> None:
    Image.fromarray(np.array([[[80, 0], [80, 255]]], dtype=np.uint8)).save(tmp_path / "la.png")
    assert decoded_array(tmp_path / "la.png").tolist() == [[[255] * 3, [80] * 3]]


@pytest.mark.parametrize("suffix", ["jpg", "tiff"])
def test_cmyk_is_converted(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"ink.{suffix}"
    Image.fromarray(PIXELS).convert("CMYK").save(path)
    stored = np.array(Image.open(path)).astype(float)
    assert stored.shape[-1] == 4
    by_hand = (255 - stored[..., :3]) * (255 - stored[..., 3:]) / 255
    np.testing.assert_allclose(decoded_array(path), by_hand, atol=1)


def test_an_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert decoded_array(tmp_path / "moving.gif")[0, 0].tolist() == [255, 0, 0]


def test_a_camera_file_of_several_pictures_gives_the_first(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "camera.jpg", "MPO", save_all=True, append_images=frames[1:])
    red, _, blue = decoded_array(tmp_path / "camera.jpg")[0, 0]
    assert red > 250
    assert blue < 5


# Rows and columns as the EXIF standard describes them for each orientation.
UPRIGHT = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels, 1),
}


@pytest.mark.parametrize("suffix", ["png", "tiff", "webp"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_the_exif_orientation_is_applied_once(
    tmp_path: Path, orientation: int, suffix: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned.{suffix}"
    Image.fromarray(PIXELS).save(path, exif=exif, **LOSSLESS.get(suffix, {}))
    np.testing.assert_array_equal(decoded_array(path), UPRIGHT[orientation](PIXELS))


def test_broken_exif_does_not_break_the_image(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    Image.fromarray(PIXELS).save(path, exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff garbage")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = load_image(path, image_size=4)
    assert image.shape == (4, 4, 3)


def test_content_in_memory_decodes_like_the_file(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    Image.fromarray(PIXELS).save(path)
    np.testing.assert_array_equal(np.array(decoded(path.read_bytes())), PIXELS)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "empty, or not an image"), (b"%!PS-Adobe-3.0 EPSF-3.0\n", "empty, or not an image")],
)
def test_a_file_that_is_no_image_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(content)
    with pytest.raises(BrokenImagesError, match=rf"image\.png.*{reason}"):
        load_image(path, image_size=8)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BrokenImagesError, match="No such file"):
        load_image(tmp_path / "none.png", image_size=8)


@pytest.mark.parametrize("resize", ["crop", "squash", "pad"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_jpeg_is_read_at_a_reduced_size_and_looks_the_same(
    tmp_path: Path, resize: Any, orientation: int
) -> None:
    rows, columns = np.mgrid[0:864, 0:1152]
    waves = [127 + 90 * np.sin(rows / (25 + c)) * np.cos(columns / (31 + c)) for c in range(3)]
    path = tmp_path / "large.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.stack(waves, -1).astype(np.uint8)).save(path, quality=92, exif=exif)
    settings = ImageSettings.checked(96, resize=resize)
    whole, reduced = decoded(path), decoded(path, settings=settings)
    assert whole.size == ((1152, 864) if orientation == 1 else (864, 1152))
    assert max(reduced.size) == 1152 // {"crop": 4, "squash": 4, "pad": 8}[resize]
    assert min(reduced.size) >= 1.5 * min(scaled_sides(whole.size, settings))
    expected, found = resized(whole, settings), resized(reduced, settings)
    assert np.abs(expected.astype(int) - found.astype(int)).mean() < 1.0
    np.testing.assert_array_equal(
        load_image(path, image_size=96, resize=resize), resized(reduced, settings)
    )


def test_a_truncated_jpeg_is_found_at_a_reduced_size_too(tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(OSError, match="truncated"):
        decoded(path, settings=ImageSettings.checked(1))
