"""Copies of an image stay in one part, and are named where they contradict or leak."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

import kerastl


def picture(path, number):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path):
    for number in range(40):
        picture(tmp_path / "images" / "ab"[number % 2] / f"{number}.png", number)
    return tmp_path / "images"


def load(spec, **options):
    return kerastl.load_data(spec, image_size=8, num_workers=0, **options)


def parts_of(data):
    return {
        row.path: row.part
        for part, size in data.sizes.items()
        if size
        for row in data.dataset(part).rows(part)
    }


def test_images_without_copies_have_nothing_to_say(folder):
    assert load(f"folder:{folder}").notes == ()


def test_copies_are_in_one_part_whatever_they_are_called(folder):
    for number in range(0, 40, 4):
        name = folder / "a" / f"{number}.png"
        shutil.copy(name, folder / "a" / f"copy of {number}.png")
        shutil.copy(name, folder / "a" / f"{number} (2).png")
    for seed in range(4):
        data = load(f"folder:{folder}", seed=seed)
        parts = parts_of(data)
        for number in range(0, 40, 4):
            names = (f"a/{number}.png", f"a/copy of {number}.png", f"a/{number} (2).png")
            assert len({parts[name] for name in names}) == 1
        assert 8 <= data.sizes["test"] <= 16
    assert data.notes == (
        "20 of 60 images are copies of others, byte for byte; copies stay in one part where the "
        "parts are drawn.",
    )


def test_a_picture_under_two_labels_is_named_with_both(folder):
    shutil.copy(folder / "a" / "0.png", folder / "b" / "zero.png")
    data = load(f"folder:{folder}")
    parts = parts_of(data)
    assert parts["a/0.png"] == parts["b/zero.png"]
    assert data.notes[0].startswith(
        "1 picture is under two labels: a/0.png as 'a' and b/zero.png as 'b'. Which label is right?"
    )


def test_a_picture_in_two_parts_of_the_data_is_named(tmp_path):
    for number in range(12):
        part = ("train", "test")[number > 7]
        picture(tmp_path / part / "ab"[number % 2] / f"{number}.png", number)
    shutil.copy(tmp_path / "train" / "a" / "0.png", tmp_path / "test" / "a" / "new.png")
    (note, _) = load(f"folder:{tmp_path}", validation_split=0).notes
    assert note.startswith("1 picture is in more than one part of the data (train, test)")


def test_a_table_that_lists_each_file_several_times_keeps_them_in_one_part(folder):
    files = sorted(folder.rglob("*.png"))
    rows = [f"{file.relative_to(folder)},{file.parent.name}" for file in files] * 3
    (folder / "table.csv").write_text("\n".join(["image,label", *rows]))
    data = load(f"csv:{folder / 'table.csv'}")
    names = {part: set(data.names(part)) for part in ("train", "validation", "test")}
    assert not names["train"] & names["test"]
    assert not names["validation"] & (names["train"] | names["test"])
    assert sum(data.sizes.values()) == 120
    assert "80 of 120 images are copies" in data.notes[0]


def test_copies_in_arrays_are_kept_together_and_out_of_fold_too():
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), np.uint8)
    images, labels = np.concatenate([images, images]), np.arange(60) % 2
    data = load((images, labels))
    where = {}
    for part in ("train", "validation", "test"):
        for row in data.dataset(part).rows(part):
            where.setdefault(int(row.path) % 30, set()).add(part)
    assert all(len(parts) == 1 for parts in where.values())
    groups = data.dataset("train").groups
    assert len(set(groups.tolist())) * 2 == len(groups)


def test_copies_of_images_of_one_group_bring_their_groups_together(folder):
    rows = [f"{f.relative_to(folder)},{f.parent.name},{f.stem}" for f in folder.rglob("*.png")]
    shutil.copy(folder / "a" / "0.png", folder / "a" / "other.png")
    rows += ["a/other.png,a,2"]  # the group of a/2.png
    (folder / "table.csv").write_text("\n".join(["image,label,patient", *rows]))
    for seed in range(6):
        parts = parts_of(load(f"csv:{folder / 'table.csv'}?group=patient", seed=seed))
        assert len({parts[name] for name in ("a/0.png", "a/2.png", "a/other.png")}) == 1


def test_a_class_of_one_picture_is_split_all_the_same_and_said(tmp_path):
    for number in range(10):
        picture(tmp_path / "a" / f"{number}.png", number)
        picture(tmp_path / "b" / f"{number}.png", 99)
    data = load(f"folder:{tmp_path}")
    assert all((data.labels(part) == 1).any() for part in ("train", "validation", "test"))
    assert data.notes[-1].startswith("'b' has fewer than 3 different pictures")
