"""The split of a run is written down, and taken from there."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

import kerastl
from kerastl.data import split_file


@pytest.fixture
def folder(tmp_path):
    for number in range(40):
        picture(tmp_path / "images" / "ab"[number % 2] / f"{number}.png", number)
    return tmp_path / "images"


def picture(path, number):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def load(spec, **options):
    return kerastl.load_data(spec, image_size=8, num_workers=0, **options)


def rows_of(data):
    return [
        row for part, size in data.sizes.items() if size for row in data.dataset(part).rows(part)
    ]


def test_a_written_split_gives_the_same_parts(folder, tmp_path):
    data = load(f"folder:{folder}", seed=3)
    split_file.save(tmp_path / "split.csv", rows_of(data))
    again = load(f"folder:{folder}", split=tmp_path / "split.csv")
    assert again.notes == ()
    for part in ("train", "validation", "test"):
        assert again.fingerprint(part) == data.fingerprint(part)
        assert again.dataset(part).identity() == data.dataset(part).identity()


def test_what_came_went_and_changed_since_is_counted(folder, tmp_path):
    data = load(f"folder:{folder}")
    split_file.save(tmp_path / "split.csv", rows_of(data))
    test = data.names("test")
    os.unlink(test[0])
    picture(folder / "a" / "new.png", 100)
    picture(folder / "b" / "new.png", 101)
    changed = data.names("train")[0]
    picture(type(folder)(changed), 102)
    again = load(f"folder:{folder}", split=tmp_path / "split.csv")
    assert again.names("test") == test[1:]
    assert again.notes == (
        "The images are those of the run's split.csv; since then: 1 gone, 2 new, and left out, "
        "1 changed in content, and left out.",
    )


def test_a_file_name_that_is_no_text_is_written_and_found(folder, tmp_path):
    name = os.fsencode(folder / "a") + b"/\xff.png"
    os.rename(os.fsencode(folder / "a" / "0.png"), name)
    data = load(f"folder:{folder}")
    split_file.save(tmp_path / "split.csv", rows_of(data))
    again = load(f"folder:{folder}", split=tmp_path / "split.csv")
    assert again.notes == ()
    assert again.sizes == data.sizes


@pytest.mark.parametrize("text", ["", "path,part\na.png,test\n", "path,part,label,digest\na.png\n"])
def test_a_damaged_file_is_named(folder, tmp_path, text):
    (tmp_path / "split.csv").write_text(text)
    with pytest.raises(ValueError, match=r"split.csv must have the columns path, part"):
        load(f"folder:{folder}", split=tmp_path / "split.csv")


def test_parts_that_the_data_has_itself_are_written_too(tmp_path):
    for number in range(24):
        part = ("train", "train", "test")[number % 3]
        picture(tmp_path / "images" / part / "ab"[number % 2] / f"{number}.png", number)
    data = load(f"folder:{tmp_path / 'images'}")
    split_file.save(tmp_path / "split.csv", rows_of(data))
    again = load(f"folder:{tmp_path / 'images'}", split=tmp_path / "split.csv")
    assert again.notes == ()
    assert again.names("test") == data.names("test")


def test_rows_of_a_table_that_names_a_file_twice_are_all_found(folder, tmp_path):
    files = sorted(folder.rglob("*.png"))
    rows = [f"{file.relative_to(folder)},{file.parent.name}" for file in files] * 2
    (folder / "table.csv").write_text("\n".join(["image,label", *rows]))
    data = load(f"csv:{folder / 'table.csv'}")
    split_file.save(tmp_path / "split.csv", rows_of(data))
    again = load(f"csv:{folder / 'table.csv'}", split=tmp_path / "split.csv")
    assert again.sizes == data.sizes
    assert not any("since then" in note for note in again.notes)


def test_files_copied_anew_are_the_same_images(folder):
    before = load(f"folder:{folder}").dataset("train").identity()
    for file in folder.rglob("*.png"):
        os.utime(file, (1, 1))
    assert load(f"folder:{folder}").dataset("train").identity() == before


def test_changed_bytes_of_the_same_size_are_other_images(tmp_path):
    for number in range(12):
        (tmp_path / "ab"[number % 2]).mkdir(exist_ok=True)
        Image.new("L", (4, 4), number).save(tmp_path / "ab"[number % 2] / f"{number}.bmp")

    def identities():
        data = load(f"folder:{tmp_path}")
        return {data.dataset(part).identity() for part in ("train", "validation", "test")}

    before, times = identities(), os.stat(tmp_path / "a" / "0.bmp")
    Image.new("L", (4, 4), 200).save(tmp_path / "a" / "0.bmp")
    os.utime(tmp_path / "a" / "0.bmp", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert os.stat(tmp_path / "a" / "0.bmp").st_size == times.st_size
    assert len(before & identities()) == 2
