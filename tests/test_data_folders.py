"""Folders with one subfolder per class, and what can be wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from trees import files, read, touch


def test_classes_and_files_come_in_sorted_order(tmp_path: Path) -> None:
    touch(tmp_path, "dog/b.jpg", "dog/a.png", "cat/x/2.png", "cat/1.png", "cat/readme.txt", ".git")
    data = read(tmp_path)
    assert data.class_names == ("cat", "dog")
    expected = [("cat/1.png", 0), ("cat/x/2.png", 0), ("dog/a.png", 1), ("dog/b.jpg", 1)]
    assert files(data, "train", tmp_path) == expected


@pytest.mark.parametrize("name", ["val", "validation", "valid"])
def test_parts_below_the_folder_are_used(tmp_path: Path, name: str) -> None:
    for part in ("train", name, "test"):
        touch(tmp_path, f"{part}/a/1.png", f"{part}/b/1.png")
    data = read(tmp_path)
    assert list(data.parts) == ["train", "validation", "test"]
    assert files(data, "validation", tmp_path) == [(f"{name}/a/1.png", 0), (f"{name}/b/1.png", 1)]


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.png", "bus/1.png")
    assert read(tmp_path).class_names == ("bus", "train")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "has no class folders. Put the images of each class"),
        (["1.png", "2.png"], "has no class folders but 2 images"),
        (["a/1.png"], "one class only, 'a'"),
        (["a/1.png", "b"], "'b' in .* has none"),
        (["a/1.png", "b", "c"], "'b', 'c' in .* have none"),
        (["a", "b/notes.txt"], "holds no images in its class folders"),
        (["train/a/1.png", "train/b", "val/a/1.png", "val/b/1.png"], "'b' in .*train' has none"),
        (["train/a/1.png", "train/b/1.png", "val/a", "val/b"], "val' holds no images"),
        (
            ["train/a/1.png", "train/b/1.png", "val/a/1.png", "val/c/1.png", "val/d/1.png"],
            r"but val/ has 'c', 'd' besides\.$",
        ),
        (["train/a/1.png", "train/b/1.png", "val/a/1.png", "valid/a/1.png"], "both val/ and valid"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said(
    tmp_path: Path, names: list[str], message: str
) -> None:
    touch(tmp_path, *names)
    with pytest.raises(ValueError, match=message):
        read(tmp_path)


@pytest.mark.parametrize(
    "names",
    [["test/c/1.png"], ["test/c/1.png", "test/a", "test/b"], ["test/c/1.png", "test/a/notes.txt"]],
)
def test_a_test_part_without_some_classes_keeps_the_numbers_of_training(
    tmp_path: Path, names: list[str]
) -> None:
    touch(tmp_path, "train/a/1.png", "train/b/1.png", "train/c/1.png", *names)
    data = read(tmp_path)
    assert data.class_names == ("a", "b", "c")
    assert files(data, "test", tmp_path) == [("test/c/1.png", 2)]
    assert "test/ has no image of 'a', 'b', of which its scores say nothing." in (
        data.understanding.warnings
    )


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="none' does not exist"):
        read(tmp_path / "none")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    touch(tmp_path, "one.png")
    with pytest.raises(ValueError, match=r"one\.png' is a file"):
        read(tmp_path / "one.png")
