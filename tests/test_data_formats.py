"""What is an image by its suffix, and what by its content."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features
from trees import left_out, read

from kerastl.data import image_files, load_data, load_image
from kerastl.data.formats import is_image, reads_heif, suffix_of

# Pictures here are often alike, whatever their class.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*under two labels:kerastl.errors.DataWarning"),
    pytest.mark.filterwarnings("ignore:.*in more than one part:kerastl.errors.DataWarning"),
]

PIXELS = np.full((8, 8, 3), 90, "uint8")


def written(path: Path, kind: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        Image.fromarray(PIXELS).save(file, kind)
    return path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("a.jfif", "JPEG"), ("a.jpe", "JPEG"), ("a", "JPEG"), ("a.JPEG", "JPEG")),
        *(("a.dat", "PNG"), ("a.img", "GIF"), ("scan.001", "TIFF"), ("a.png_large", "PNG")),
        *(("a.ppm", "PPM"), ("a.pnm", "PPM"), ("a.jp2", "JPEG2000"), ("a.j2k", "JPEG2000")),
        *(("a.avif", "AVIF"), ("a.dib", "DIB"), ("a.pcx", "PCX"), ("a.qoi", "QOI")),
        *(("a.sgi", "SGI"), ("a.webp?w=20", "WEBP"), ("a.heic", "JPEG"), ("a. b", "BMP")),
    ],
)
def test_what_pillow_opens_by_content_is_an_image(tmp_path, name, kind):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    path = written(tmp_path / name, kind)
    assert is_image(path)
    assert image_files([path]) == [path]
    assert np.abs(load_image(path, image_size=8).astype(int) - 90).max() < 4


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *(("a", b""), ("notes", b"P1 is the first of the points"), ("a.dat", b"\0" * 400)),
        *(("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n"), ("a.pdf", b"%PDF-1.4\n"), ("a.svg", b"<svg/>")),
        *(("a.nef", b"II*\0\x08\0\0\0"), ("a.bin", bytes(range(256))), ("a.npy", b"\x93NUMPY\1\0")),
    ],
)
def test_what_pillow_does_not_open_is_counted_and_named(tmp_path, name, content):
    for kind in ("cat", "dog"):
        written(tmp_path / kind / "1.png", "PNG")
    (tmp_path / "cat" / name).write_bytes(content)
    data = read(tmp_path)
    assert len(data.parts["train"].labels) == 2
    assert list(left_out(data).values()) == [(1, (f"cat/{name}",))]


@pytest.mark.parametrize(
    ("name", "words"),
    [("a.heic", 'pip install "kerastl\\[heic\\]"'), ("a.CR2", "raw file of a camera")],
)
def test_a_photo_that_cannot_be_read_is_warned_of(tmp_path, monkeypatch, name, words):
    monkeypatch.setattr("kerastl.data.formats.reads_heif", lambda: False)
    for kind in ("cat", "dog"):
        written(tmp_path / kind / "1.png", "PNG")
    (tmp_path / "cat" / name).write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0")
    (warning,) = read(tmp_path).understanding.warnings
    assert f"cat/{name}" in warning
    (tmp_path / "cat" / "1.png").unlink()
    with pytest.raises(ValueError, match=f"'cat' in .* has none.*{words}"):
        read(tmp_path)


def test_heic_is_read_where_its_library_is(tmp_path):
    if not reads_heif():
        pytest.skip("pillow-heif is not installed")
    path = written(tmp_path / "a.heic", "HEIF")
    assert np.abs(load_image(path, image_size=8).astype(int) - 90).max() < 4


def test_no_image_of_many_kinds_is_lost(tmp_path):
    names = ("a.jfif", "b.jpe", "c", "d.img")
    for kind in ("cat", "dog"):
        for number in range(2):
            for name in names:
                written(tmp_path / kind / f"{number}{name}", "JPEG")
    data = load_data(f"folder:{tmp_path}", image_size=8, num_workers=0)
    assert sum(data.sizes.values()) == 16


def test_known_suffixes_are_not_opened(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(
        "kerastl.data.formats._opens", lambda path: bool(opened.append(Path(path).name))
    )
    for name in ("1.jpg", "2.PNG", "notes.txt", "boxes.xml", "a.zip", "photo", "b.xyz"):
        (tmp_path / name).touch()
    assert len(image_files([tmp_path])) == 2
    assert opened == ["b.xyz", "photo"]


@pytest.mark.parametrize(
    ("name", "suffix"), [("a.b.JPG", ".jpg"), ("a", ""), ("Dr. No", ""), (".png", ""), ("a.", "")]
)
def test_a_suffix_is_letters_and_digits(name, suffix):
    assert suffix_of(name) == suffix
