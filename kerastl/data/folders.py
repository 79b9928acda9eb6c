"""Folders with one subfolder per class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerastl.data.files import images_of, is_image_file
from kerastl.data.formats import IMAGE_SUFFIXES, suffix_of
from kerastl.data.items import FileItems, SourceData
from kerastl.data.layout import ClassFolders, Layout, layout_of
from kerastl.data.peeking import Peeking, only_below
from kerastl.data.skipping import NAMED_AS_IMAGE, UNREAD_IMAGES
from kerastl.data.specs import DataSpec
from kerastl.data.understanding import LeftOut, LeftOutLog, Understanding


@dataclass(frozen=True)
class _Part:
    """One part of the data.

    Attributes:
        folder: What to call where it is.
        classes: The files by class name, sorted.
    """

    folder: Path
    classes: dict[str, list[Path]]


def read_source(spec: DataSpec) -> SourceData:
    """The images of a folder, found but not opened, where their suffix is known.

    The folder has one subfolder per class, or a folder of such subfolders for
    each part, called `train`, `val` and `test` or what people call these. What
    lies beside, such as thumbnails and copies of everything, is left out and
    named.

    Args:
        spec: A `folder` spec.

    Returns:
        The files in the order of their relative paths; classes by name.

    Raises:
        ValueError: If the folder is missing, has fewer than two classes or an
            empty one, its parts have different classes, or it cannot be told
            which folders are parts and which are classes.
    """
    folder = Path(spec.name).expanduser()
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise ValueError(f"The folder {str(folder)!r} {what}.")
    log = LeftOutLog()
    layout = layout_of(folder, log)
    parts = _parts(layout, folder, log)
    left_out = log.found(folder)
    _check_classes(parts["train"], left_out)
    for part in parts.values():
        _check_holds_images(part)
    parts, renamed = _with_names_of_training(parts)
    lacking = _check_same_classes(parts, folder)
    names = tuple(parts["train"].classes)
    return SourceData(
        parts={name: _labelled(part, names, root=folder) for name, part in parts.items()},
        class_names=names,
        understanding=Understanding(
            {name: where for name, where in layout.origins.items() if name in parts},
            left_out,
            (*layout.warnings, *renamed, *lacking, *_unread(left_out)),
        ),
    )


def _parts(layout: Layout, root: Path, log: LeftOutLog) -> dict[str, _Part]:
    """The files of each part; a class or a part that is a link to another is not there."""
    places = [
        (part, name, folder)
        for part, classes in layout.classes.items()
        for name, folders in classes.items()
        for folder in folders
    ]
    files = images_of([folder for _, _, folder in places], root=root, left_out=log)
    parts = {
        part: _Part(_shown_folder(classes, root), {}) for part, classes in layout.classes.items()
    }
    for (part, name, folder), found in zip(places, files, strict=True):
        if found is None:
            continue
        if not found and suffix_of(folder.name) in IMAGE_SUFFIXES:
            log.add(NAMED_AS_IMAGE, f"{folder}/")
            continue
        parts[part].classes.setdefault(name, []).extend(found)
    return {name: part for name, part in parts.items() if part.classes or name == "train"}


def _shown_folder(classes: ClassFolders, root: Path) -> Path:
    return next((folders[0].parent for folders in classes.values()), root)


def _check_classes(part: _Part, left_out: Iterable[LeftOut]) -> None:
    """Refuse fewer than two classes, and classes without images."""
    folder, classes = part.folder, part.classes
    seen = "; ".join(map(str, left_out))
    if not classes:
        loose = sum(is_image_file(path) for path in folder.iterdir())
        images = f" but {loose} images" if loose else ""
        raise ValueError(
            f"The folder {str(folder)!r} has no class folders{images}. "
            "Put the images of each class in a subfolder of its name."
        )
    if len(classes) == 1:
        (name,) = classes
        raise ValueError(
            f"The folder {str(folder)!r} has one class only, {name!r}. "
            f"A classifier needs at least two.{_classes_within(folder / name)}"
        )
    empty = [name for name, paths in classes.items() if not paths]
    why = f" Left out: {seen}." if empty and seen else ""
    if len(empty) == len(classes):
        raise ValueError(f"The folder {str(folder)!r} holds no images in its class folders.{why}")
    if empty:
        raise ValueError(
            f"Every class must have images, but {_quoted(empty)} in {str(folder)!r} "
            f"{'has' if len(empty) == 1 else 'have'} none. "
            f"Add images or remove the class.{why}"
        )


def _classes_within(folder: Path) -> str:
    if not folder.is_dir():
        return ""
    peek = Peeking()
    folder = only_below(folder, peek)
    inner = sorted(peek(folder).names)
    return f" If {_quoted(inner)} in it are: folder:{folder}." if len(inner) > 1 else ""


def _with_names_of_training(parts: dict[str, _Part]) -> tuple[dict[str, _Part], list[str]]:
    """The parts with class names in the case of the training part's, and a word on it."""
    expected = parts["train"].classes.keys()
    by_case = {name.casefold(): name for name in expected}
    if len(by_case) < len(expected):
        return parts, []
    renamed, warnings = {}, []
    for name, part in parts.items():
        names = {
            found: found if found in expected else by_case.get(found.casefold(), found)
            for found in part.classes
        }
        changed = [found for found, known in names.items() if found != known]
        if changed and len(set(names.values())) == len(names):
            warnings.append(
                f"{part.folder.name}/ writes {_quoted(changed)} in another case than the training "
                "part. Taken as the same classes; give them one name."
            )
            classes = {names[found]: paths for found, paths in part.classes.items()}
            part = _Part(part.folder, dict(sorted(classes.items())))
        renamed[name] = part
    return renamed, warnings


def _check_holds_images(part: _Part) -> None:
    if not any(part.classes.values()):
        raise ValueError(f"The folder {str(part.folder)!r} holds no images in its class folders.")


def _check_same_classes(parts: dict[str, _Part], root: Path) -> list[str]:
    """Refuse classes that are not trained on; a word on those that another part lacks."""
    expected = parts["train"].classes.keys()
    differences, lacking = [], []
    for part in parts.values():
        present = {name for name, paths in part.classes.items() if paths}
        if missing := sorted(expected - present):
            lacking.append(
                f"{part.folder.name}/ has no image of {_quoted(missing)}, of which its scores say "
                "nothing."
            )
        if extra := sorted(part.classes.keys() - expected):
            differences.append(f"{part.folder.name}/ has {_quoted(extra)} besides")
    if differences:
        train = parts["train"].folder
        where = "the folder itself" if train == root else f"{train.name}/"
        raise ValueError(
            f"The parts of {str(root)!r} must have the classes of {where}, "
            f"but {'; '.join(differences)}."
        )
    return lacking


def _labelled(part: _Part, names: Sequence[str], *, root: Path) -> FileItems:
    files = [part.classes.get(name, []) for name in names]
    labels = np.repeat(np.arange(len(files)), [len(paths) for paths in files]).astype(np.int64)
    return FileItems(tuple(path for paths in files for path in paths), labels, root=root)


def _unread(left_out: Iterable[LeftOut]) -> list[str]:
    """A warning of images that are left out because they cannot be read here."""
    return [f"Images are left out: {each}." for each in left_out if each.reason in UNREAD_IMAGES]


def _quoted(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names)
