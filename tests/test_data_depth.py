"""16-bit files that use fewer bits are as bright as the same pictures in 8 bits."""

import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image
from small_models import tiny_resnet

import kerastl
from kerastl.commands.model_data import read_images
from kerastl.data import load_data, load_image
from kerastl.data.decoding import decoded
from kerastl.errors import BrokenImagesError

SIZE = 32
GREY = np.random.default_rng(0).integers(0, 256, (8, SIZE, SIZE), dtype=np.uint8)
GREY[:, 0, 0], GREY[:, 0, 1] = 255, 0


def write(folder, factor, *, suffix="png", top=None):
    """Two classes of four pictures whose white is `255 * factor`."""
    values = np.rint(GREY.astype("float64") * factor).astype(np.uint16)
    values = values if top is None else np.minimum(values, top)
    for number, picture in enumerate(values):
        where = folder / ("cat", "dog")[number % 2]
        where.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(where / f"{number}.{suffix}")
    return folder


def load(folder, **options):
    return kerastl.load_data(
        f"folder:{folder}", image_size=SIZE, resize="squash", validation_split=0, test_split=0,
        num_workers=0, **options,
    )  # fmt: skip


def pixels(data):
    return np.concatenate([np.asarray(images) for images, _ in data.in_order("train")])


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("white", [255, 1023, 4095, 16383, 65535])
def test_the_range_in_use_becomes_0_to_255(tmp_path, white, suffix):
    data = load(write(tmp_path, white / 255, suffix=suffix))
    assert data.settings.white == white
    expected = np.concatenate([GREY[0::2], GREY[1::2]])[..., None].astype(int)
    assert np.abs(pixels(data).astype(int) - expected).max() <= 1
    assert any(f"0-{white}" in note for note in data.notes) == (white != 65535)


def test_the_range_is_that_of_the_whole_set(tmp_path):
    write(tmp_path, 4095 / 255)
    picture = np.full((SIZE, SIZE), 40000, np.uint16)
    Image.fromarray(picture).save(tmp_path / "dog" / "bright.png")
    data = load(tmp_path)
    assert data.settings.white == 65535
    assert not any("16-bit" in note for note in data.notes)


def test_8_bit_images_are_read_as_ever(tmp_path):
    for number, picture in enumerate(GREY):
        where = tmp_path / ("cat", "dog")[number % 2]
        where.mkdir(exist_ok=True)
        Image.fromarray(picture // 20).save(where / f"{number}.png")
    data = load(tmp_path)
    assert data.settings.white is None
    assert pixels(data).max() == 12


def test_a_dark_and_a_black_picture_of_the_set_stay_dark(tmp_path):
    write(tmp_path, 4095 / 255)
    Image.fromarray(np.full((SIZE, SIZE), 160, np.uint16)).save(tmp_path / "cat" / "dark.png")
    Image.fromarray(np.zeros((SIZE, SIZE), np.uint16)).save(tmp_path / "dog" / "black.png")
    load(tmp_path)
    dark, black = (
        load_image(tmp_path / name, image_size=SIZE, white=4095).max()
        for name in ("cat/dark.png", "dog/black.png")
    )
    assert (dark, black) == (10, 0)


def test_the_model_keeps_the_range_and_predict_reads_by_it(tmp_path):
    data = load(write(tmp_path / "data", 4095 / 255))
    model = kerastl.ImageClassifier(tiny_resnet(), 2, image_size=SIZE, resize="squash")
    model.compile(learning_rate=0.0)
    model.fit(data.train, verbose=0)
    assert model.white == 4095
    model.save(tmp_path / "model.keras")
    again = kerastl.load_model(tmp_path / "model.keras", backbone=tiny_resnet())
    assert again.white == 4095
    of_8_bits = tmp_path / "plain.png"
    Image.fromarray(GREY[0]).save(of_8_bits)
    files = [tmp_path / "data" / "cat" / "0.png", of_8_bits]
    (_, first), (_, second) = read_images(files, again, (255, 255, 255))
    assert np.abs(first.astype(int) - second).max() <= 1


def test_data_read_with_another_range_are_refused(tmp_path):
    data = load(write(tmp_path / "twelve", 4095 / 255))
    other = load(write(tmp_path / "sixteen", 257))
    model = kerastl.ImageClassifier(tiny_resnet(), 2, image_size=SIZE)
    model.compile(learning_rate=0.0)
    model.fit(data.train, verbose=0)
    with pytest.raises(ValueError, match=r"with 4095 as white. Received: white=65535"):
        model.evaluate(other.train, verbose=0)
    same = load(tmp_path / "twelve", white=model.white)
    assert same.settings.white == 4095
    assert not same.notes
    model.evaluate(same.train, verbose=0)


def test_a_picture_beyond_the_models_range_is_refused(tmp_path):
    file = tmp_path / "bright.png"
    Image.fromarray(np.full((SIZE, SIZE), 5000, np.uint16)).save(file)
    assert load_image(file, image_size=SIZE).max() == round(5000 * 255 / 65535)
    with pytest.raises(BrokenImagesError, match="values reach 5000, beyond 0-4095"):
        load_image(file, image_size=SIZE, white=4095)


def test_features_and_digests_tell_ranges_apart(tmp_path):
    folder = write(tmp_path, 1023 / 255)
    assert load(folder).fingerprint() != load(folder, white=65535).fingerprint()


def _color_png(path, highest):
    """A PNG of 16 bits per channel, which Pillow does not write."""
    values = np.random.default_rng(highest).integers(0, highest + 1, (8, 8, 3)).astype(">u2")
    lines = b"".join(b"\0" + row.tobytes() for row in values)

    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


@pytest.mark.parametrize(("highest", "is_dark"), [(4095, True), (16000, True), (65535, False)])
def test_color_images_of_16_bits_that_come_out_black_are_warned_of(tmp_path, highest, is_dark):
    for number in range(8):
        _color_png(tmp_path / "ab"[number % 2] / f"{number}.png", highest - number)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load_data(f"folder:{tmp_path}", image_size=8, num_workers=0)
    assert any("come out nearly black" in str(each.message) for each in caught) == is_dark


def test_a_16_bit_pgm_is_read_as_the_same_picture_in_8_bits(tmp_path):
    values = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    (tmp_path / "a.pgm").write_bytes(b"P5 8 8 65535\n" + values.astype(">u2").tobytes())
    pixels = np.asarray(decoded(tmp_path / "a.pgm"))
    np.testing.assert_allclose(pixels[..., 0], values / 65535 * 255, atol=1)
