"""Which folders below a folder are parts, which are classes, and which are neither."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kerastl.data.doubts import (
    alike_below,
    named_as_parts,
    refuse_data_among_classes,
    refuse_parts_below,
    refuse_parts_in_some,
    refuse_shared_below_parts,
    refuse_unused_parts,
)
from kerastl.data.files import images_of, is_file, is_folder, is_image_file, why_neither
from kerastl.data.part_names import is_container, part_and_rest, part_of, says_a_part
from kerastl.data.peeking import (
    Inner,
    Peeking,
    like_classes,
    listed,
    listing,
    normal_name,
    only_below,
    same_name,
    why_not_a_class,
)
from kerastl.data.skipping import why_no_file, why_no_image
from kerastl.data.understanding import LeftOutLog
from kerastl.internals.printable import printable

ClassFolders = Mapping[str, tuple[Path, ...]]
"""The folders of each class: several where their names are the same letters in other bytes."""

_COPY = "folder that holds the class folders once more"
_BESIDE = "folder beside the parts"
_NO_CLASSES = "part without class folders"
_LOOSE = "image in no class folder"
_PARTS = ("train", "validation", "test")
# Folders that people keep beside a training part, and that are no class.
_ASIDE = frozenset(
    (
        *("annotations", "boxes", "extra", "labels", "masks", "original", "originals", "pred"),
        *("predict", "prediction", "predictions", "raw", "submission", "unlabeled", "unlabelled"),
        *("unsup", "unsupervised"),
    )
)


@dataclass(frozen=True)
class Layout:
    """The class folders of each part.

    Attributes:
        classes: By part, the folders by class name, sorted; "train" alone
            where the data have no parts.
        origins: Where each part was found, in words; empty without parts.
        warnings: What is likely to be a mistake.
    """

    classes: Mapping[str, ClassFolders]
    origins: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def layout_of(root: Path, left_out: LeftOutLog) -> Layout:
    """What the folders below a folder are.

    Args:
        root: The folder of all images.
        left_out: Takes what is left out.

    Raises:
        ValueError: If it cannot be told, in one sentence on what was seen.
    """
    return _Looking(root, left_out).layout()


@dataclass
class _Looking:
    root: Path
    left_out: LeftOutLog
    peek: Peeking = field(default_factory=Peeking)
    warnings: list[str] = field(default_factory=list)
    noted: set[Path] = field(default_factory=set)

    def layout(self) -> Layout:
        root = self.unwrapped(self.root)
        self.note(root)
        folders = self.without_copies(root)
        in_classes: dict[str, dict[str, tuple[Path, ...]]] = {}
        parts = self.parts_among(root, folders)
        if not parts:
            in_classes = self.parts_in_classes(folders)
        if not parts and not in_classes:
            refuse_parts_below(root, folders, self.peek)
            refuse_data_among_classes(root, folders, self.peek)
            refuse_parts_in_some(root, folders, self.peek)
            self.refuse_doubtful(root, folders)
            parts = self.parts_beside_classes(root, folders)
        own = [path for path in folders if path not in parts.values()]
        if root in parts.values():
            self.warnings += [*alike_below(own, self.peek), *named_as_parts(own)]
        classes: dict[str, ClassFolders] = {
            part: by_name(own) if folder == root else by_name(self.class_folders(folder))
            for part, folder in parts.items()
        }
        origins = {part: f"from {self.shown(folder)}" for part, folder in parts.items()}
        for part, of_part in in_classes.items():
            classes[part] = dict(sorted(of_part.items()))
            (first, *_) = next(iter(of_part.values()))
            origins[part] = f"from {printable(first.name)}/ in each class"
        if origins == {"train": f"from {self.shown(self.root)}"}:
            origins = {}
        return Layout(classes, origins, tuple(self.warnings))

    def note(self, folder: Path) -> None:
        """Say, once, what a folder holds beside classes or parts."""
        if folder in self.noted:
            return
        self.noted.add(folder)
        for entry in listing(folder):
            if is_folder(entry):
                if reason := why_not_a_class(entry):
                    self.left_out.add(reason, entry.path + "/")
                continue
            reason = why_no_file(entry.name)
            if reason is None and not is_file(entry):
                reason = why_neither(entry.path)
            if reason is None:
                reason = _LOOSE if is_image_file(Path(entry.path)) else why_no_image(entry.name)
            self.left_out.add(reason, entry.path)

    def unwrapped(self, folder: Path, *, quietly: bool = False) -> Path:
        """The only folder in a folder, and so on, where that is no class but holds the classes."""
        inner = self.peek(folder)
        if inner.has_images or len(inner.folders) != 1:
            return folder
        (only,) = inner.folders
        within = self.peek(only)
        is_wrapper = same_name(only, folder) or is_container(only.name) or part_of(only.name)
        end = self.peek(only_below(only, self.peek))
        holds_parts = any(part_of(path.name) == "train" for path in end.folders)
        if within.has_images or not within.folders or not (is_wrapper or holds_parts):
            return folder
        if not quietly:
            self.note(folder)
        return self.unwrapped(only, quietly=quietly)

    def within(self, folder: Path) -> Inner:
        """What a folder holds, or what the only folder in it holds, and so on."""
        return self.peek(self.unwrapped(folder, quietly=True))

    def without_copies(self, folder: Path) -> tuple[Path, ...]:
        """The folders below a folder without those that hold the other ones again."""
        folders = self.peek(folder).folders
        for path in sorted(folders, key=lambda path: not same_name(path, folder)):
            others = tuple(other for other in folders if other != path)
            again = {normal_name(other) for other in others} & self.within(path).names
            holds_all = len(again) == len(others) > 1
            # A test part beside the classes holds them too, but is no copy.
            if (again and same_name(path, folder)) or (holds_all and not says_a_part(path.name)):
                self.leave_copy_out(path, others)
                folders = others
        return folders

    def leave_copy_out(self, copy: Path, folders: Sequence[Path]) -> None:
        self.left_out.add(_COPY, str(copy) + "/")
        kept = _names_below(folders)
        if new := sorted(_names_below(self.within(copy).folders) - kept):
            self.warnings.append(
                f"{self.shown(copy)} holds the class folders once more and is left out, but "
                f"{len(new):,} of its images are not in them, as {printable(new[0])!r}. "
                "If they belong to the data, put them into the class folders."
            )

    def class_folders(self, folder: Path) -> tuple[Path, ...]:
        """The class folders of a part."""
        self.note(folder)
        return self.without_copies(folder)

    def parts_among(self, root: Path, folders: Sequence[Path]) -> dict[str, Path]:
        """The folder of each part, or nothing: "train" must hold class folders."""
        named = _parts_by_name(folders, root)
        train = [self.peek(path) for path, part in named.items() if part == "train"]
        if not any(each.folders for each in train):
            self.refuse_flat_parts(root, named)
            return {}
        if len(named) == 1 and train[0].has_images:
            return {}  # A class with folders of its own.
        parts: dict[str, Path] = {}
        for path, part in _each_once(root, named).items():
            inner = self.unwrapped(path)
            if self.peek(inner).folders:
                parts[part] = inner
            else:
                self.left_out.add(_NO_CLASSES, str(path) + "/")
        others = [path for path in folders if path not in named]
        refuse_unused_parts(root, others, self.peek(parts["train"]).names, self.peek)
        if list(parts) == ["train"]:
            self.refuse_train_among_classes(root, parts["train"], others)
        for path in others:
            self.left_out.add(_BESIDE, str(path) + "/")
        return parts

    def refuse_flat_parts(self, root: Path, named: Mapping[Path, str]) -> None:
        holding = [path for path in named if self.peek(path).has_images]
        if "train" in named.values() and len(set(named.values())) > 1 and holding:
            raise ValueError(
                f"The parts of {str(root)!r} must hold a folder for each class. Received: "
                f"{listed(holding)} with images in no class folder. Sort them into folders, or "
                "list them with their labels in a table: csv:FILE."
            )

    def refuse_train_among_classes(self, root: Path, train: Path, others: Sequence[Path]) -> None:
        classes = self.peek(train).names
        others = [path for path in others if path.name.casefold() not in _ASIDE]
        alike = [path for path in others if self.within(path).names & classes]
        if len(alike) == 1:
            self.warnings.append(
                f"{self.shown(alike[0])} holds folders of the same names as {self.shown(train)} "
                "and is left out. If it is a part, name it val/ or test/."
            )
        doubtful = [path for path in others if path not in alike and self.holds_images(path)]
        if len(alike) > 1:
            doubtful = sorted({*alike, *doubtful})
        if len(doubtful) > 1 or any(not self.peek(path).has_images for path in doubtful):
            raise ValueError(
                f"The folder {str(root)!r} holds {printable(train.name)}/ with folders in it, and "
                f"{listed(doubtful)} beside it: a part beside others, or a class among classes? "
                f"Write folder:{train} for the part alone, or move the images of the class "
                "straight into its folder."
            )

    def holds_images(self, folder: Path) -> bool:
        inner = self.peek(folder)
        return inner.has_images or any(self.peek(path).has_images for path in inner.folders)

    def parts_beside_classes(self, root: Path, folders: Sequence[Path]) -> dict[str, Path]:
        """The root itself for training, and the parts beside its classes that hold them too."""
        parts = {"train": root}
        classes = {normal_name(path) for path in folders if part_of(path.name) is None}
        for path in folders:
            part, inner = part_of(path.name), self.within(path).names
            if part in ("validation", "test") and len(inner) > 1 and inner <= classes:
                if part in parts:
                    raise _both(root, [parts[part], path])
                parts[part] = path
        others = [path for path in folders if path not in parts.values() and not part_of(path.name)]
        refuse_unused_parts(root, others, classes, self.peek)
        return parts

    def parts_in_classes(self, folders: Sequence[Path]) -> dict[str, dict[str, tuple[Path, ...]]]:
        """Parts within each class folder, as in `cat/train/` and `cat/test/`, or nothing."""
        found: dict[str, dict[str, tuple[Path, ...]]] = {}
        for folder in folders:
            inner = self.peek(folder)
            parts = {path: part_of(path.name) for path in inner.folders}
            if inner.has_images or not parts or None in parts.values():
                return {}
            for path, part in parts.items():
                of_part = found.setdefault(str(part), {})
                of_part[normal_name(folder)] = (*of_part.get(normal_name(folder), ()), path)
        if "train" not in found or len(folders) < 2:
            return {}
        refuse_shared_below_parts(folders[0].parent, folders, self.peek)
        for folder in folders:
            self.note(folder)
        return {part: found[part] for part in _PARTS if part in found}

    def refuse_doubtful(self, root: Path, folders: Sequence[Path]) -> None:
        """Refuse folders that all hold the same folders: parts of some kind, never classes."""
        inner = [self.within(path) for path in folders]
        if len(folders) < 2 or any(each.has_images for each in inner):
            return
        shared = sorted(set.intersection(*(like_classes(each.names) for each in inner)))
        if len(shared) < 2:
            return
        raise ValueError(
            f"The folders {listed(folders)} of {str(root)!r} all hold the folders "
            f"{listed(shared)}: are they parts or classes? Name parts train/, val/ and test/, or "
            f"read one alone: folder:{folders[0]}. If they are classes, take their images out of "
            "the folders in them, or list them in a table: csv:FILE."
        )

    def shown(self, folder: Path) -> str:
        """A folder from the root on."""
        below = os.path.relpath(folder, self.root)
        return "the folder itself" if below == "." else f"{printable(Path(below).as_posix())}/"


def by_name(folders: Sequence[Path]) -> ClassFolders:
    """Folders by class name, sorted; names of the same letters are one class."""
    named: dict[str, tuple[Path, ...]] = {}
    for path in folders:
        named[normal_name(path)] = (*named.get(normal_name(path), ()), path)
    return dict(sorted(named.items()))


def _parts_by_name(folders: Sequence[Path], root: Path) -> dict[Path, str]:
    """The part that each folder is by its name, as far as names say it.

    Words that the parts have in common (`seg_train`, `seg_test`) or that name
    the root (`flowers_train`) say nothing.
    """
    said = {path: part_and_rest(path.name) for path in folders}
    exact = {path: part for path, (part, rest) in said.items() if part and not rest}
    if "train" in exact.values():
        return exact
    of_root = set(part_and_rest(Path(os.path.abspath(root)).name)[1])
    by_rest: dict[tuple[str, ...], dict[Path, str]] = {}
    for path, (part, rest) in said.items():
        if part and rest:
            by_rest.setdefault(rest, {})[path] = part
    for rest, parts in by_rest.items():
        names = set(parts.values())
        if "train" in names and (len(names) > 1 or set(rest) <= of_root):
            return parts
    return exact


def _each_once(root: Path, named: Mapping[Path, str]) -> dict[Path, str]:
    """The parts, each once; a folder of evaluation is for validation where there is a test."""
    by_part: dict[str, list[Path]] = {}
    for path, part in named.items():
        by_part.setdefault(part, []).append(path)
    tests = by_part.get("test", [])
    evaluating = [path for path in tests if normal_name(path).casefold().startswith("eval")]
    if len(tests) == 2 and len(evaluating) == 1 and "validation" not in by_part:
        by_part["validation"] = evaluating
        by_part["test"] = [path for path in tests if path not in evaluating]
    for paths in by_part.values():
        if len(paths) > 1:
            raise _both(root, paths)
    return {path: part for part in _PARTS for path in by_part.get(part, [])}


def _both(root: Path, paths: Sequence[Path]) -> ValueError:
    both = " and ".join(f"{printable(path.name)}/" for path in paths)
    return ValueError(f"The folder {str(root)!r} has both {both}. Keep one of them.")


def _names_below(folders: Sequence[Path]) -> set[str]:
    """The paths of all images in some folders, from beside these on."""
    parent = folders[0].parent
    found = images_of(folders, root=parent, left_out=LeftOutLog())
    return {path.relative_to(parent).as_posix() for paths in found for path in paths or ()}
