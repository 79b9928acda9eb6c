"""Which folders are parts, which are classes, and which are somebody else's."""

from __future__ import annotations

import os
import socket
import unicodedata
from pathlib import Path

import pytest
from trees import classes_in, files, left_out, read, touch

from kerastl.data.part_names import part_of
from kerastl.data.understanding import understood
from kerastl.errors import DataWarning


def parts(folder: Path) -> dict[str, int]:
    data = read(folder)
    assert data.class_names == ("cat", "dog")
    return {part: len(items.labels) for part, items in data.parts.items()}


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("Training", "Validation", "Testing"),
        ("train", "Val", "Test"),
        ("TRAIN", "DEV", "HOLDOUT"),
        ("training_set", "validation_set", "test_set"),
        ("TrainSet", "ValidSet", "TestSet"),
        ("train-images", "val images", "test.images"),
        ("train2017", "val2017", "test2017"),
        ("seg_train", "seg_dev", "seg_test"),
        ("train", "eval", "test"),
        ("training", "validation", "evaluation"),
        ("Trainingdata", "valid", "hold-out"),
    ],
)
def test_parts_are_known_by_whatever_people_call_them(tmp_path, train, validation, test):
    touch(tmp_path, *classes_in(train, images=3), *classes_in(validation, images=2))
    touch(tmp_path, *classes_in(test))
    assert parts(tmp_path) == {"train": 6, "validation": 4, "test": 2}
    assert read(tmp_path).understanding.origins == {
        "train": f"from {train}/",
        "validation": f"from {validation}/",
        "test": f"from {test}/",
    }


@pytest.mark.parametrize(
    "name", ["test_tube", "contest", "latest", "trainer", "valley", "developer", "restraint"]
)
def test_other_words_are_no_parts(name):
    assert part_of(name) is None


@pytest.mark.parametrize(
    "names",
    [
        classes_in("train/train", "test/test"),
        classes_in("data/train", "data/test"),
        classes_in("archive/animals/Train", "archive/animals/Test"),
        classes_in("seg_train/seg_train", "seg_test/seg_test"),
        [f"{name}/{part}/1.png" for name in ("cat", "dog") for part in ("train", "test")],
        [*classes_in("test"), "cat/1.png", "dog/1.png"],
        classes_in("train/images", "test/images"),
    ],
)
def test_nested_parts_are_found(tmp_path, names):
    assert parts(touch(tmp_path / "animals", *names)) == {"train": 2, "test": 2}


def test_parts_within_each_class_keep_their_files(tmp_path):
    touch(tmp_path, "cat/train/1.png", "dog/train/1.png", "cat/val/2.png", "dog/val/2.png")
    data = read(tmp_path)
    assert files(data, "validation", tmp_path) == [("cat/val/2.png", 0), ("dog/val/2.png", 1)]
    assert data.understanding.origins["train"] == "from train/ in each class"


@pytest.mark.parametrize(
    "name", ["pets", "PETS", "backup", "copy of pets"], ids=["same", "case", "other", "spaces"]
)
def test_a_copy_of_everything_is_no_class(tmp_path, name):
    root = touch(tmp_path / "pets", "cat/1.png", "dog/1.png", *classes_in(name, images=1))
    os.rename(root / name / "cat" / "0.png", root / name / "cat" / "1.png")
    os.rename(root / name / "dog" / "0.png", root / name / "dog" / "1.png")
    assert parts(root) == {"train": 2}
    found = read(root)
    reason = "folder that holds the class folders once more"
    assert left_out(found) == {reason: (1, (f"{name}/",))}
    assert not found.understanding.warnings


def test_a_copy_with_images_of_its_own_is_warned_of(tmp_path):
    root = touch(tmp_path / "pets", "cat/1.png", "dog/1.png", *classes_in("pets", images=4))
    (warning,) = read(root).understanding.warnings
    assert "pets/ holds the class folders once more and is left out, but 6 of its" in warning


def test_a_copy_of_parts_within_the_parts_is_left_out(tmp_path):
    root = touch(tmp_path / "xray", *classes_in("train", "test", "xray/train", "xray/test"))
    assert parts(root) == {"train": 2, "test": 2}
    assert left_out(read(root)) == {
        "folder that holds the class folders once more": (1, ("xray/",))
    }


@pytest.mark.parametrize(
    "names",
    [
        classes_in("siteA", "siteB"),
        classes_in("2019", "2020", "2021"),
        classes_in("validation", "test"),
        classes_in("fold1/images", "fold2/images"),
        [*classes_in("a"), *classes_in("b", names=("cat", "dog", "bird"))],
    ],
)
def test_folders_that_all_hold_the_same_folders_are_never_classes(tmp_path, names):
    with pytest.raises(ValueError, match="all hold the folders 'cat', 'dog': are they parts or"):
        read(touch(tmp_path, *names))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train/1.png", "test/1.png"], "parts of .* must hold a folder for each class"),
        (["train/1.png", "Valid/1.png", "x.csv"], "list them with their labels in a table"),
        ([*classes_in("train", "Training")], "both Training/ and train/"),
        ([*classes_in("train"), "bus/1.png", "car/1.png"], "part beside others, or a class among"),
        ([*classes_in("train"), "bus/city/1.png", "bus/coach/1.png"], r"bus/ beside it"),
        (["pets/cat/1.png", "pets/dog/1.png"], "one class only, 'pets'.*If 'cat', 'dog' in it"),
    ],
)
def test_what_cannot_be_told_is_an_error(tmp_path, names, message):
    with pytest.raises(ValueError, match=message):
        read(touch(tmp_path / "data", *names))


@pytest.mark.parametrize(
    "names",
    [
        ["cat/indoor/1.png", "dog/outdoor/1.png"],
        ["cat/images/1.png", "dog/images/1.png"],
        ["cat/1.png", "cat/young/2.png", "dog/1.png", "dog/young/2.png"],
        ["cat/2019/1.png", "cat/2020/2.png", "dog/2020/1.png"],
    ],
)
def test_folders_within_classes_are_fine(tmp_path, names):
    data = read(touch(tmp_path, *names))
    assert data.class_names == ("cat", "dog")
    assert len(data.parts["train"].labels) == len(names)
    assert not data.understanding.lines
    assert not data.understanding.origins


@pytest.mark.parametrize(
    "names", [("test", "control"), ("valid", "invalid"), ("dev", "prod"), ("train", "bus", "tram")]
)
def test_classes_may_have_names_of_parts(tmp_path, names):
    touch(tmp_path, *(f"{name}/1.png" for name in names))
    assert read(tmp_path).class_names == tuple(sorted(names))


def test_a_test_without_labels_is_left_out_by_name(tmp_path):
    touch(tmp_path, *classes_in("train"), "test/1.png", "test/2.png", "pred/3.png")
    data = read(tmp_path)
    assert list(data.parts) == ["train"]
    assert left_out(data) == {
        "part without class folders": (1, ("test/",)),
        "folder beside the parts": (1, ("pred/",)),
    }


@pytest.mark.parametrize(
    "name",
    [
        *("@eaDir", ".thumbnails", "__MACOSX", ".ipynb_checkpoints", "#recycle", "$RECYCLE.BIN"),
        *("System Volume Information", "lost+found", "Thumbnails", "Catalog Previews.lrdata"),
    ],
)
def test_folders_of_programs_are_no_classes_and_no_images(tmp_path, name):
    touch(tmp_path, "cat/1.png", "dog/1.png", f"{name}/1.png", f"cat/{name}/1.png")
    data = read(tmp_path)
    assert data.class_names == ("cat", "dog")
    assert len(data.parts["train"].labels) == 2
    ((count, names),) = left_out(data).values()
    assert (count, names) == (2, (f"{name}/", f"cat/{name}/"))


@pytest.mark.parametrize("name", ["Thumbs.db", "desktop.ini", ".DS_Store", "._1.png", "Icon\r"])
def test_files_of_programs_are_left_out_by_name(tmp_path, name):
    touch(tmp_path, "cat/1.png", "dog/1.png")
    (tmp_path / "cat" / name).touch()
    data = read(tmp_path)
    assert len(data.parts["train"].labels) == 2
    assert list(left_out(data).values()) == [(1, (f"cat/{name}",))]


def test_masks_and_thumbs_beside_images_are_no_images(tmp_path):
    names = [f"{kind}/{inner}/1.png" for kind in ("cat", "dog") for inner in ("images", "masks")]
    data = read(touch(tmp_path / "a", *names, "cat/images/thumbs/1.png"))
    assert len(data.parts["train"].labels) == 2
    assert left_out(data)["folder of masks or notes beside images/"] == (
        2,
        ("cat/masks/", "dog/masks/"),
    )


def test_links_to_a_parent_or_to_a_class_are_neither_class_nor_count(tmp_path):
    root = touch(tmp_path / "a", "cat/1.png", "dog/1.png", "dog/young/2.png")
    (root / "all").symlink_to(root)
    (root / "up").symlink_to(tmp_path)
    (root / "hounds").symlink_to(root / "dog")
    (root / "cat" / "loop").symlink_to(root)
    (root / "cat" / "see also").symlink_to(root / "dog" / "young")
    (root / "cat" / "gone").symlink_to(root / "nothing")
    data = read(root)
    assert files(data, "train", root) == [
        ("cat/1.png", 0),
        ("dog/1.png", 1),
        ("dog/young/2.png", 1),
    ]
    assert left_out(data)["link to a folder that is read already"][0] == 5
    assert left_out(data)["link to nothing"] == (1, ("cat/gone",))


def test_links_to_elsewhere_are_followed_once(tmp_path):
    other = touch(tmp_path / "other", "cats/1.png", "dogs/1.png", "cats/more/2.png")
    (other / "cats" / "back").symlink_to(other)
    root = tmp_path / "a"
    root.mkdir()
    (root / "cat").symlink_to(other / "cats")
    (root / "dog").symlink_to(other / "dogs")
    (root / "dog" / "extra").symlink_to(touch(tmp_path / "third", "3.png"))
    expected = [("cat/1.png", 0), ("cat/more/2.png", 0), ("dog/1.png", 1), ("dog/extra/3.png", 1)]
    assert files(read(root), "train", root) == expected


def test_a_part_that_links_to_another_is_left_out(tmp_path):
    touch(tmp_path, *classes_in("train", "test"))
    (tmp_path / "val").symlink_to(tmp_path / "test")
    data = read(tmp_path)
    assert list(data.parts) == ["train", "test"]
    assert left_out(data) == {"link to a folder that is read already": (2, ("val/cat", "val/dog"))}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_what_is_no_regular_file_is_left_out_by_name(tmp_path):
    touch(tmp_path, "cat/1.png", "dog/1.png", "cat/folder.jpg/", "cat/folder.jpg/2.png", "x.png/")
    os.mkfifo(tmp_path / "cat" / "pipe.jpg")
    (tmp_path / "cat" / "zero.jpg").symlink_to("/dev/zero")
    before = os.getcwd()
    os.chdir(tmp_path)  # The path of a socket is short.
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind("dog/socket.png")
        os.chdir(before)
        data = read(tmp_path)
    assert len(data.parts["train"].labels) == 2
    assert left_out(data) == {
        "neither file nor folder": (3, ("cat/pipe.jpg", "cat/zero.jpg", "dog/socket.png")),
        "folder named as an image": (2, ("cat/folder.jpg/", "x.png/")),
    }


def test_both_forms_of_a_letter_are_one_class_with_all_images(tmp_path):
    composed, apart = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    touch(tmp_path, f"{composed}/1.png", "tea/1.png")
    if (tmp_path / apart).exists():
        pytest.skip("this file system takes both for one")
    touch(tmp_path, f"{apart}/1.png", f"{apart}/2.png")
    data = read(tmp_path)
    assert data.class_names == (composed, "tea")
    assert data.parts["train"].labels.tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("names", [("Cat", "cat"), ("fir", "ﬁr"), ("oak", "oak ")])
def test_names_that_are_nearly_one_are_warned_of(tmp_path, names):
    touch(tmp_path, *(f"{name}/{number}.png" for name in (*names, "dog") for number in range(3)))
    if len(list(tmp_path.iterdir())) < 3:
        pytest.skip("this file system takes both for one")
    with pytest.warns(DataWarning, match=f"differ only in case, .*{names[0]!r}, {names[1]!r}"):
        understood(read(tmp_path), {})


def test_parts_that_differ_in_case_alone_are_matched_and_warned_of(tmp_path):
    touch(tmp_path, *classes_in("train"), *classes_in("test", names=("Cat", "Dog")))
    data = read(tmp_path)
    assert data.class_names == ("cat", "dog")
    assert files(data, "test", tmp_path) == [("test/Cat/0.png", 0), ("test/Dog/0.png", 1)]
    (warning,) = data.understanding.warnings
    assert "test/ writes 'Cat', 'Dog' in another case" in warning


def test_images_in_no_class_folder_are_counted(tmp_path):
    touch(tmp_path, "cat/1.png", "dog/1.png", "3.png", "4.png", "labels.csv")
    assert left_out(read(tmp_path)) == {
        "image in no class folder": (2, ("3.png", "4.png")),
        "file that is no image": (1, ("labels.csv",)),
    }
