"""Images of one group, by their file names or a column, are in one part."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import kerastl


@pytest.fixture
def folder(tmp_path):
    for number in range(48):
        path = tmp_path / "ab"[number // 24] / f"patient{number // 4:02}_{number % 4}.png"
        path.parent.mkdir(exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(path)
    return tmp_path


def load(spec, **options):
    return kerastl.load_data(spec, image_size=8, num_workers=0, **options)


@pytest.mark.parametrize("pattern", [r"patient(\d+)", r"patient\d+", r"^[^_]+", r"(pat)ient(\d\d)"])
@pytest.mark.parametrize("seed", range(3))
def test_files_of_one_group_are_in_one_part(folder, pattern, seed):
    data = load(f"folder:{folder}", group_by=pattern, seed=seed)
    patients = {
        part: {row.path.split("_")[0] for row in data.dataset(part).rows(part)}
        for part in ("train", "validation", "test")
    }
    assert sum(map(len, patients.values())) == 12
    assert len(set.union(*patients.values())) == 12
    assert all((data.labels(part) == 1).any() for part in patients)
    assert data.notes == ("48 images are of 12 groups; none is in two parts.",)
    assert len(set(data.dataset("train").groups)) == len(patients["train"])


def test_a_file_without_the_pattern_is_a_group_of_its_own_and_said(folder):
    (folder / "a" / "patient00_0.png").rename(folder / "a" / "somebody.png")
    data = load(f"folder:{folder}", group_by=r"patient(\d+)")
    assert "13 groups, 1 of them single images that the pattern is not in" in data.notes[0]


def test_groups_in_two_parts_of_the_data_are_named(folder):
    for name in ("a", "b"):
        for number, file in enumerate(sorted((folder / name).iterdir())):
            part = folder / ("test" if number % 4 == 3 else "train") / name
            part.mkdir(parents=True, exist_ok=True)
            file.rename(part / file.name)
        (folder / name).rmdir()
    data = load(f"folder:{folder}", group_by=r"patient(\d+)", validation_split=0)
    assert data.notes[0].startswith(
        "12 of 12 groups are in more than one part of the data: '00', '01', '02', '03', '04' and 7 "
    )


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("patient(", "`group_by` must be a regular expression"),
        ("nobody", "`group_by` must be found in the names of files.*'patient00_0.png'"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_named(folder, pattern, message):
    with pytest.raises(ValueError, match=message):
        load(f"folder:{folder}", group_by=pattern)


def test_data_without_file_names_has_no_groups_by_name():
    with pytest.raises(ValueError, match="`group_by` must be for image files"):
        load("digits", group_by="x")
