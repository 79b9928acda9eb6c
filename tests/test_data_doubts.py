"""Folders that cannot be told are refused or warned of, never dropped without a word."""

from __future__ import annotations

import pytest
from trees import classes_in, left_out, read, touch

from kerastl.data import image_files


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


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([*classes_in("raw", "processed/train", "processed/test")], "processed/ holds parts"),
        ([*classes_in("data/train", "data/test"), "figures/1.png"], "data/ holds parts"),
        ([*classes_in("data/train"), "figures/1.png"], "data/ holds parts: train/"),
        ([*classes_in("all", "split/train", "split/test")], "split/ holds parts"),
        ([*classes_in("v1/split/train", "v1/split/val"), "docs/1.png"], "v1/split/ holds parts"),
        ([*classes_in("2019/train", "2019/test"), *classes_in("2020/train")], "all hold parts"),
        (
            classes_in("batch1/train", "batch1/test", "batch2/train", "batch2/test"),
            "'cat', 'dog': which of both are the classes",
        ),
        ([*classes_in("dataset"), "results/1.png"], "holds dataset/ with .*folder:.*dataset if"),
        ([*classes_in("images"), "plots"], "holds images/ with the folders cat/, dog/, and plots"),
        ([*classes_in("photos"), "papers/1.png"], "holds photos/"),
        (["images/train/1.png", "images/test/1.png", "labels"], "labels/ beside it: where are"),
    ],
)
def test_parts_and_data_one_level_down_are_no_classes(tmp_path, names, message):
    with pytest.raises(ValueError, match=message):
        read(touch(tmp_path / "pets", *names))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("cow/1.png", "train/ in cat/, dog/, but cow/ without them"),
        ("cat/cover.jpg", "cat/ with images or folders beside them"),
        ("cat/extra/1.png", "cat/ with images or folders beside them"),
        ("cow/test/1.png", "must have the classes"),
        ("notes", "notes/ without them"),
    ],
)
def test_parts_in_most_classes_are_not_given_up(tmp_path, more, message):
    names = [f"{name}/{part}/1.png" for name in ("cat", "dog") for part in ("train", "test")]
    with pytest.raises(ValueError, match=message):
        read(touch(tmp_path, *names, more))


@pytest.mark.parametrize(
    "names",
    [
        ["photo/ann/1.png", "photo/bob/1.png", "drawing/carl/1.png", "drawing/dora/1.png"],
        ["cat/test/1.png", "dog/1.png", "cow/1.png"],
        ["cat/train/a/1.png", "cat/test/b/1.png", "dog/train/c/1.png", "dog/test/d/1.png"],
        ["images/1.png", "drawings/1.png"],
        ["data/old/1.png", "noise/1.png"],
    ],
)
def test_folders_within_classes_are_no_doubt(tmp_path, names):
    data = read(touch(tmp_path, *names))
    assert "train" not in data.class_names
    assert sum(len(items.labels) for items in data.parts.values()) == len(names)
    assert not data.understanding.warnings


@pytest.mark.parametrize(
    "names",
    [
        [*classes_in("hospital_A"), "hospital_B/cat/1.png"],
        ["8863/0/1.png", "8863/1/1.png", "8864/0/1.png", "8865/0/1.png", "8865/1/1.png"],
        ["ann/wet/1.png", "ann/dry/1.png", "bob/wet/1.png", "eve/wet/1.png", "eve/old/1.png"],
    ],
)
def test_classes_that_hold_much_the_same_folders_are_warned_of(tmp_path, names):
    (warning,) = said(tmp_path, *names)
    assert "hold folders of the same names" in warning


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["cat/1.png", "dog/1.png", "test/1.png"], "test/ beside cat/, dog/ is a class"),
        (["cat/1.png", "dog/1.png", "test/1.png", "val/1.png"], "test/, val/ beside"),
        (["cat/1.png", "dog/1.png", "test/cat/1.png"], "test/ beside cat/, dog/ is a class"),
    ],
)
def test_classes_called_as_parts_are_warned_of(tmp_path, names, message):
    (warning,) = said(tmp_path, *names)
    assert message in warning


@pytest.mark.parametrize(
    "names",
    [
        ["test/1.png", "control/1.png"],
        ["cat/2019/1.png", "cat/2020/1.png", "dog/2020/1.png"],
        ["cat/2019-05-01/1.png", "cat/2020-05-01/1.png", "dog/2020-05-01/1.png"],
        ["cat/tabby/1.png", "cat/persian/1.png", "dog/poodle/1.png", "dog/other/1.png"],
        ["cat/1.png", "cat/young/1.png", "dog/1.png", "dog/young/1.png", "dog/old/1.png"],
        ["cat/images/1.png", "cat/crops/1.png", "dog/images/1.png"],
    ],
)
def test_good_classes_are_not_warned_of(tmp_path, names):
    assert not said(tmp_path, *names)


def test_a_train_among_classes_of_the_same_folders_is_refused(tmp_path):
    with pytest.raises(ValueError, match="bus/, car/ beside it: a part beside others, or a class"):
        read(touch(tmp_path, *classes_in("train", "bus", "car", names=("day", "night"))))


def test_one_folder_like_a_lone_train_is_left_out_with_a_warning(tmp_path):
    (warning,) = said(tmp_path, *classes_in("train", "augmented"))
    assert "augmented/ holds folders of the same names as train/ and is left out" in warning


def test_links_to_themselves_are_left_out_by_name(tmp_path):
    root = touch(tmp_path / "a", "cat/1.png", "dog/1.png", "dog/young/2.png")
    places = ("cat/loop.jpg", "dog/young/loop", "loop.png", "loop")
    for place in places:
        (root / place).symlink_to((root / place).name)
    (root / "cat" / "to").symlink_to("fro")
    (root / "cat" / "fro").symlink_to("to")
    data = read(root)
    assert len(data.parts["train"].labels) == 3
    assert left_out(data)["link to nothing"][0] == 6
    assert len(image_files([root])) == 3
    assert len(image_files([root / "cat" / "*"])) == 1


@pytest.mark.parametrize(
    "within", ["fruits-360_dataset/fruits-360", "a/b/c", "pets-master/pets/all of it/v2"]
)
def test_parts_are_found_below_folders_that_hold_one_folder_each(tmp_path, within):
    root = touch(tmp_path / "x", *classes_in(f"{within}/Training", f"{within}/Test"))
    assert read(root).understanding.origins == {
        "train": f"from {within}/Training/",
        "test": f"from {within}/Test/",
    }


def test_classes_two_levels_down_are_pointed_at(tmp_path):
    root = touch(tmp_path / "x", *classes_in("a/b/c"))
    with pytest.raises(ValueError, match=r"If 'cat', 'dog' in it are: folder:.*x/a/b/c"):
        read(root)


def test_links_that_go_round_between_folders_end(tmp_path):
    root = touch(tmp_path / "x", "a/")
    touch(tmp_path, "y/", "z/")
    (root / "a" / "y").symlink_to(tmp_path / "y")
    (tmp_path / "y" / "z").symlink_to(tmp_path / "z")
    (tmp_path / "z" / "y").symlink_to(tmp_path / "y")
    with pytest.raises(ValueError, match="one class only, 'a'"):
        read(root)
