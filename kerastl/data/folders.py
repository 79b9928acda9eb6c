"""Folders with one subfolder per class."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np

from kerastl.data.files import images_below, is_hidden, is_image_file
from kerastl.data.items import FileItems, SourceData
from kerastl.data.specs import DataSpec

_PART_FOLDERS = {
    "train": ("train",),
    "validation": ("val", "validation", "valid"),
    "test": ("test",),
}


def read_source(spec: DataSpec) -> SourceData:
    """The images of a folder, found but not opened.

    The folder has one subfolder per class, or `train/` with such subfolders
    and, if it likes, `val/` (also `validation/` or `valid/`) and `test/`.

    Args:
        spec: A `folder` spec.

    Returns:
        The files in the order of their relative paths; classes by name.

    Raises:
        ValueError: If the folder is missing, has fewer than two classes or an
            empty one, or its parts have different classes.
    """
    folder = Path(spec.name).expanduser()
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise ValueError(f"The folder {str(folder)!r} {what}.")
    part_folders = _part_folders(folder)
    classes = {part: _class_folders(path) for part, path in part_folders.items()}
    _check_same_classes(classes, part_folders)
    parts = {
        part: replace(_labelled_files(part_folders[part], class_folders), root=folder)
        for part, class_folders in classes.items()
    }
    return SourceData(parts=parts, class_names=tuple(classes["train"]))


def _part_folders(folder: Path) -> dict[str, Path]:
    """The folder of each part, or the folder itself as "train" if it has no parts.

    A `train/` that holds images is a class of that name, not a part.
    """
    train = folder / "train"
    if not train.is_dir() or not _subfolders(train):
        return {"train": folder}
    found: dict[str, Path] = {}
    for part, names in _PART_FOLDERS.items():
        present = [folder / name for name in names if (folder / name).is_dir()]
        if len(present) > 1:
            both = " and ".join(f"{path.name}/" for path in present)
            raise ValueError(f"The folder {str(folder)!r} has both {both}. Keep one of them.")
        if present:
            found[part] = present[0]
    return found


def _subfolders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name)]


def _class_folders(folder: Path) -> dict[str, Path]:
    """The subfolders by class name, sorted.

    Raises:
        ValueError: If there are fewer than two.
    """
    named = {unicodedata.normalize("NFC", path.name): path for path in _subfolders(folder)}
    if not named:
        loose = sum(is_image_file(path) for path in folder.iterdir())
        images = f" but {loose} images" if loose else ""
        raise ValueError(
            f"The folder {str(folder)!r} has no class folders{images}. "
            "Put the images of each class in a subfolder of its name."
        )
    if len(named) == 1:
        raise ValueError(
            f"The folder {str(folder)!r} has one class only, {next(iter(named))!r}. "
            "A classifier needs at least two."
        )
    return dict(sorted(named.items()))


def _check_same_classes(classes: dict[str, dict[str, Path]], part_folders: dict[str, Path]) -> None:
    expected = classes["train"].keys()
    differences = []
    for part, names in classes.items():
        if missing := sorted(expected - names.keys()):
            differences.append(f"{part_folders[part].name}/ lacks {_quoted(missing)}")
        if extra := sorted(names.keys() - expected):
            differences.append(f"{part_folders[part].name}/ has {_quoted(extra)} besides")
    if differences:
        raise ValueError(
            f"The parts of {str(part_folders['train'].parent)!r} must have the classes of train/, "
            f"but {'; '.join(differences)}."
        )


def _labelled_files(folder: Path, class_folders: dict[str, Path]) -> FileItems:
    files = [images_below(path) for path in class_folders.values()]
    empty = [name for name, paths in zip(class_folders, files, strict=True) if not paths]
    if len(empty) == len(files):
        raise ValueError(f"The folder {str(folder)!r} holds no images in its class folders.")
    if empty:
        raise ValueError(
            f"Every class must have images, but {_quoted(empty)} in {str(folder)!r} "
            f"{'has' if len(empty) == 1 else 'have'} none. "
            "Add images or remove the class."
        )
    labels = np.repeat(np.arange(len(files)), [len(paths) for paths in files]).astype(np.int64)
    return FileItems(paths=tuple(path for paths in files for path in paths), labels=labels)


def _quoted(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names)
