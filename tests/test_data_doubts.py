"""Folders that cannot be told are refused or warned of, never dropped without a word."""

from __future__ import annotations

import pytest
from trees import classes_in, left_out, read, touch


def said(root, *names):
    """The warnings on a folder of such files."""
    return read(touch(root, *names)).understanding.warnings


@pytest.mark.parametrize("root", ["data", "real", "real_pets"])
@pytest.mark.parametrize(
    "names",
    [
        classes_in("real_train", "synthetic_train", "test"),
        classes_in("train", "test_easy", "test_hard"),
        classes_in("train", "testA", "testB"),
        classes_in("train", "public_test", "private_test"),
        classes_in("train", "validation_test"),
        classes_in("train", "val", "test", "test_hard"),
        classes_in("train", "test", "train_extra"),
        [*classes_in("train"), "test-1-noisy/cat/1.png"],
        classes_in("train", "test_hard/images"),
        ["cat/1.png", "dog/1.png", *classes_in("test_hard")],
        ["cat/1.png", "dog/1.png", *classes_in("test", "test_hard")],
    ],
)
def test_a_part_is_used_or_refused(tmp_path, names, root):
    with pytest.raises(ValueError, match=r"cannot be told which part|are they parts or classes"):
        read(touch(tmp_path / root, *names))


def test_masks_of_parts_and_flat_tests_stay_beside_them(tmp_path):
    touch(tmp_path, *classes_in("train", "test", "train_masks"), "test_unlabelled/1.png")
    data = read(tmp_path)
    assert list(data.parts) == ["train", "test"]
    assert left_out(data) == {
        "folder beside the parts": (2, ("test_unlabelled/", "train_masks/")),
    }


@pytest.mark.parametrize("masks", ["lung masks", "infection-masks", "BinaryMask", "pet_labels"])
def test_masks_with_a_word_before_are_no_images(tmp_path, masks):
    names = [f"{kind}/{inner}/1.png" for kind in ("cat", "dog") for inner in ("images", masks)]
    data = read(touch(tmp_path, *names))
    assert len(data.parts["train"].labels) == 2
    assert left_out(data) == {
        "folder of masks or notes beside images/": (2, (f"cat/{masks}/", f"dog/{masks}/"))
    }
