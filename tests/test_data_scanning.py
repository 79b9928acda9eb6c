"""Broken files are found before training, listed, and left out if asked."""

from __future__ import annotations

import os
import socket
import traceback
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_models import tiny_resnet

import kerastl
from kerastl import load_data
from kerastl.data import load_image, scanning
from kerastl.data.folders import read_source
from kerastl.data.scanning import broken_images, without_broken_images
from kerastl.data.specs import DataSpec
from kerastl.errors import BrokenImagesError

# Pictures here are often alike, whatever their class.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*under two labels:kerastl.errors.DataWarning"),
    pytest.mark.filterwarnings("ignore:.*in more than one part:kerastl.errors.DataWarning"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of four images; three files of `bad` are broken, each in its way."""
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for name in ("bad", "good"):
        (tmp_path / name).mkdir()
        for number in range(4):
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.jpg")
    whole = (tmp_path / "bad" / "0.jpg").read_bytes()
    (tmp_path / "bad" / "0.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "bad" / "1.jpg").write_bytes(b"")
    (tmp_path / "bad" / "2.jpg").write_text("no image")
    return tmp_path


def test_truncated_empty_and_foreign_files_are_listed(folder: Path) -> None:
    data = read_source(DataSpec("folder", str(folder)))
    with pytest.raises(BrokenImagesError) as raised:
        without_broken_images(data, skip_broken=False)
    first, *lines = str(raised.value).splitlines()
    assert first.startswith("3 of 8 images cannot be decoded.")
    assert "skip_broken=True" in first
    assert [line.split(": ")[0].strip() for line in lines] == [
        str(folder / "bad" / f"{number}.jpg") for number in range(3)
    ]
    assert "truncated" in lines[0]
    assert "empty" in lines[1]


def test_skipped_files_are_left_out_and_kept_on_a_list(folder: Path) -> None:
    data = read_source(DataSpec("folder", str(folder)))
    kept, broken = without_broken_images(data, skip_broken=True)
    assert kept.parts["train"].labels.tolist() == [0, 1, 1, 1, 1]
    assert [image.path.name for image in broken] == ["0.jpg", "1.jpg", "2.jpg"]


def test_a_class_without_a_sound_image_is_named(folder: Path) -> None:
    (folder / "bad" / "3.jpg").write_bytes(b"")
    data = read_source(DataSpec("folder", str(folder)))
    with pytest.raises(BrokenImagesError, match="'bad' in the train part has none"):
        without_broken_images(data, skip_broken=True)


def test_a_long_list_is_cut_and_counted(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(15):
            (tmp_path / name / f"{number}.png").touch()
    data = read_source(DataSpec("folder", str(tmp_path)))
    with pytest.raises(BrokenImagesError) as raised:
        without_broken_images(data, skip_broken=False)
    lines = str(raised.value).splitlines()
    assert len(lines) == 22
    assert lines[-1].strip() == "and 10 more"


@pytest.mark.parametrize(("number", "shown"), [(201, True), (200, False)])
def test_only_a_long_check_shows_progress(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], number: int, shown: bool
) -> None:
    path = tmp_path / "dot.png"
    Image.new("RGB", (1, 1)).save(path)
    assert broken_images([path] * number, progress=True) == []
    captured = capsys.readouterr()
    assert ("Checking images" in captured.err) is shown
    assert captured.out == ""
    broken_images([path] * number)
    assert capsys.readouterr().err == ""


@pytest.fixture
def many(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The folder, as if it had too many files to be checked up front."""
    monkeypatch.setattr(scanning, "CHECKED_UP_FRONT", 7)
    return f"folder:{folder}"


@pytest.mark.parametrize("num_workers", [0, 1])
def test_of_many_files_a_broken_one_is_named_when_it_is_read(many: str, num_workers: int) -> None:
    data = load_data(many, validation_split=0, test_split=0, num_workers=num_workers)
    with pytest.raises(BrokenImagesError) as raised:
        list(data.train)
    message = str(raised.value)
    assert message.startswith("An image cannot be decoded: ")
    assert "bad/" in message
    assert "\n" not in message
    assert "--skip-broken" in message
    shown = "".join(traceback.format_exception(raised.value))
    assert "in DataLoader worker process" not in shown


@pytest.mark.parametrize("num_workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_of_many_files_the_broken_ones_are_left_out_and_counted(
    many: str, num_workers: int
) -> None:
    data = load_data(
        many, validation_split=0, test_split=0, num_workers=num_workers, skip_broken=True
    )
    assert data.skipped == ()
    for _ in range(2):
        (batch,) = list(data.train)
        assert sorted(batch[1].tolist()) == [0, 1, 1, 1, 1]
    assert sorted(image.path.name for image in data.skipped) == ["0.jpg", "1.jpg", "2.jpg"]
    assert {image.reason for image in data.skipped} >= {"empty, or not an image of a known format"}


@pytest.mark.parametrize("num_workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_batch_of_broken_files_only_is_left_out(many: str, num_workers: int) -> None:
    options = {"validation_split": 0, "test_split": 0, "skip_broken": True}
    data = load_data(many, batch_size=1, num_workers=num_workers, **options)
    for _ in range(2):
        assert sorted(int(labels) for _, labels in data.train) == [0, 1, 1, 1, 1]
    assert [len(labels) for _, labels in data.in_order("train")] == [1] * 5
    assert len(data.names("train")) == 5


@pytest.mark.slow
@pytest.mark.parametrize("cache", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_training_and_evaluation_go_on_without_batches_of_broken_files(
    many: str, cache: bool
) -> None:
    options = {"validation_split": 0, "test_split": 0, "num_workers": 0, "skip_broken": True}
    data = load_data(many, batch_size=1, image_size=32, **options)
    model = kerastl.ImageClassifier(tiny_resnet(), 2, weights=None, image_size=32)
    model.freeze()
    model.compile(optimizer="sgd", learning_rate=0.01, metrics=["accuracy"])
    history = model.fit(data.train, epochs=2, verbose=0, cache=cache).history
    assert np.isfinite(history["loss"]).all()
    predictions = model.predict(data.in_order("train"), verbose=0)
    assert len(predictions) == 5
    found = model.evaluate(data.in_order("train"), verbose=0, return_dict=True)["accuracy"]
    labels = np.concatenate([labels for _, labels in data.in_order("train")])
    assert found == pytest.approx((predictions.argmax(-1) == labels).mean())


def test_data_without_a_sound_image_say_so(many: str, folder: Path) -> None:
    for path in folder.rglob("*.jpg"):
        path.write_bytes(path.read_bytes()[:-40])
    options = {"validation_split": 0, "test_split": 0, "num_workers": 0, "skip_broken": True}
    data = load_data(many, batch_size=2, **options)
    with pytest.raises(BrokenImagesError, match="one at least must be sound"):
        list(data.train)


@pytest.mark.parametrize("kind", ["pipe", "folder", "socket", "device"])
def test_what_is_no_regular_file_is_named_and_not_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.jpg"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(os.path.relpath(path))
    (found,) = broken_images([path])
    assert found.path == path
    assert found.reason == (
        f"it is a {kind if kind != 'pipe' else 'named pipe'}, and no regular file"
    )
    with pytest.raises(BrokenImagesError, match=r"x\.jpg.*no regular file"):
        load_image(path, image_size=8)


@pytest.mark.parametrize("pixels", ["100", "3999"])
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pixels: str
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # put back afterwards
    path = tmp_path / "large.png"
    Image.new("L", (80, 50)).save(path)
    monkeypatch.setenv("KERASTL_MAX_PIXELS", "4000")
    assert load_image(path, image_size=8).shape == (8, 8, 3)
    monkeypatch.setenv("KERASTL_MAX_PIXELS", pixels)
    (found,) = broken_images([path])
    assert "this one has 4,000; make it smaller, or set" in found.reason
    assert "KERASTL_MAX_PIXELS" in found.reason


@pytest.mark.parametrize("pixels", ["0", "-3", "many", "1e9"])
def test_a_number_of_pixels_that_is_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pixels: str
) -> None:
    path = tmp_path / "dot.png"
    Image.new("L", (1, 1)).save(path)
    monkeypatch.setenv("KERASTL_MAX_PIXELS", pixels)
    with pytest.raises(BrokenImagesError, match="KERASTL_MAX_PIXELS must be a number"):
        load_image(path, image_size=8)


def test_a_file_whose_resize_fails_is_one_broken_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "dot.png"
    Image.new("L", (1, 1)).save(path)

    def fail(*arguments: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image.Image, "resize", fail)
    with pytest.raises(BrokenImagesError, match=r"dot\.png.*memory"):
        load_image(path, image_size=8)
