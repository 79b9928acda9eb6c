"""Folders whose names and contents contradict what they would be taken for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from kerastl.data.part_names import is_container, part_of, says_a_part
from kerastl.data.peeking import Peeking, like_classes, listed, normal_name
from kerastl.data.skipping import says_masks
from kerastl.internals.printable import printable

_DATE = re.compile(r"(19|20)\d\d([-_. ]?\d\d){0,2}")
# What a class of pictures may be called, though the words say little.
_KINDS = frozenset(("photo", "photos", "picture", "pictures", "sample", "samples", "part"))


def refuse_unused_parts(
    root: Path, unused: Sequence[Path], classes: Collection[str], peek: Peeking
) -> None:
    """Refuse folders that hold the classes and are called parts, but are used as none.

    Args:
        root: The folder that holds them.
        unused: Folders that are no parts.
        classes: The names of the classes.
        peek: Looks into folders.
    """
    parts = [
        path
        for path in unused
        if says_a_part(path.name)
        and not says_masks(path.name)
        and _names_within(path, peek).intersection(classes)
    ]
    if parts:
        raise ValueError(
            f"The folder {str(root)!r} holds {listed(parts)} with folders of the same classes, and "
            "it cannot be told which part that is. Call the parts train/, val/ and test/ and move "
            "the others out of the folder, or list the images of each part in a table: csv:FILE."
        )


def refuse_parts_below(root: Path, folders: Sequence[Path], peek: Peeking) -> None:
    """Refuse parts with folders of their own in a folder that would be a class."""
    for folder in folders:
        for holder in (folder, *peek(folder).folders):
            parts = [path for path in _parts_in(holder, peek) if peek(path).folders]
            if parts:
                below = holder.relative_to(root).as_posix()
                raise ValueError(
                    f"The folder {str(root)!r} would have the classes {listed(folders)}, but "
                    f"{printable(below)}/ holds parts: {listed(parts)} with folders in them. Write "
                    f"folder:{holder} for these parts, or put the folders of all classes into one "
                    "train/, val/ and test/."
                )


def refuse_shared_below_parts(root: Path, folders: Sequence[Path], peek: Peeking) -> None:
    """Refuse folders whose parts hold the same folders: the classes may be in these."""
    below = [
        {name for part in peek(path).folders for name in like_classes(peek(part).names)}
        for path in folders
    ]
    if shared := sorted(set.intersection(*below)):
        raise ValueError(
            f"The folders {listed(folders)} of {str(root)!r} all hold parts with the folders "
            f"{listed(shared)}: which of both are the classes? Read one alone, "
            f"folder:{folders[0]}, or put the folders of all classes into one train/, val/ and "
            "test/."
        )


def refuse_parts_in_some(root: Path, folders: Sequence[Path], peek: Peeking) -> None:
    """Refuse a train/ and another part in most classes, and not in the others or not alone."""
    split = [path for path in folders if {"train"} < set(_parts_in(path, peek).values())]
    if len(folders) < 2 or len(split) * 2 < len(folders):
        return
    lacking = [path for path in folders if path not in split]
    beside = [
        path
        for path in split
        if peek(path).has_images or len(_parts_in(path, peek)) < len(peek(path).folders)
    ]
    without = f"{listed(lacking)} without them" if lacking else ""
    more = f"{listed(beside)} with images or folders beside them" if beside else ""
    raise ValueError(
        f"Every class folder of {str(root)!r} must hold its images in the same parts, or none "
        f"must. Received: {listed(list(_parts_in(split[0], peek)))} in {listed(split)}, but "
        f"{' and '.join(filter(None, (without, more)))}. Move the images into the parts, and what "
        "is no class out of the folder."
    )


def refuse_data_among_classes(root: Path, folders: Sequence[Path], peek: Peeking) -> None:
    """Refuse a would-be class that is called data, dataset or images and holds folders."""
    nested = [path for path in folders if not peek(path).has_images and peek(path).folders]
    for folder in nested:
        inner = peek(folder).folders
        is_kind = normal_name(folder).casefold() in _KINDS and nested == list(folders)
        if len(folders) > 1 and len(inner) > 1 and is_container(folder.name) and not is_kind:
            raise ValueError(
                f"The folder {str(root)!r} holds {listed([folder])} with the folders "
                f"{listed(inner)}, and {listed([path for path in folders if path != folder])} "
                f"beside it: where are the classes? Write folder:{folder} if they are in "
                f"{listed([folder])}, or give it the name of a class."
            )


def alike_below(classes: Sequence[Path], peek: Peeking) -> list[str]:
    """A warning of classes that hold much the same folders, as sites or patients do."""
    inner = [like_classes(_names_within(path, peek)) for path in classes]
    counts = Counter(name for names in inner for name in names if not _DATE.fullmatch(name))
    common = sorted(name for name, count in counts.items() if count * 2 > len(classes))
    if (
        len(counts) < 2
        or len(classes) < 2
        or any(peek(path).has_images for path in classes)
        or not all(names.intersection(common) for names in inner)
    ):
        return []
    return [
        f"Most of the classes {listed(classes)} hold folders of the same names, "
        f"{listed(sorted(counts))}. If these are the classes, and {listed(classes[:1])} is a site, "
        "a person or a day, list the images with their labels in a table: csv:FILE."
    ]


def named_as_parts(classes: Sequence[Path]) -> list[str]:
    """A warning of classes that are called as a part of the data, beside two others or more."""
    parts = [path for path in classes if part_of(path.name) in ("validation", "test")]
    if not parts or len(classes) - len(parts) < 2:
        return []
    return [
        f"{listed(parts)} beside {listed([path for path in classes if path not in parts])} "
        f"{'is a class' if len(parts) == 1 else 'are classes'} by their folders. If they are "
        "parts, give each the class folders and put the others into train/."
    ]


def _parts_in(folder: Path, peek: Peeking) -> dict[Path, str]:
    said = {path: part_of(path.name) for path in peek(folder).folders}
    return {path: part for path, part in said.items() if part}


def _names_within(folder: Path, peek: Peeking) -> set[str]:
    """The names of the folders in a folder, and in the only one there."""
    inner = peek(folder)
    return inner.names | (peek(inner.folders[0]).names if len(inner.folders) == 1 else set())
