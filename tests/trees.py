"""Folders of small files for tests of layouts."""

from __future__ import annotations

from pathlib import Path

from kerastl.data.folders import read_source
from kerastl.data.items import FileItems, SourceData
from kerastl.data.specs import DataSpec


def touch(folder: Path, *names: str) -> Path:
    """Empty files, and folders for names without a suffix."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix and not name.endswith("/"):
            path.touch()
        else:
            path.mkdir(exist_ok=True)
    return folder


def classes_in(
    *folders: str, names: tuple[str, ...] = ("cat", "dog"), images: int = 1
) -> list[str]:
    """The names of images of the same classes in each of some folders."""
    return [
        f"{folder}/{name}/{number}.png"
        for folder in folders
        for name in names
        for number in range(images)
    ]


def read(folder: Path) -> SourceData:
    """What the source of folders makes of a folder."""
    return read_source(DataSpec("folder", str(folder)))


def files(data: SourceData, part: str, folder: Path) -> list[tuple[str, int]]:
    """Path and class of each image of a part."""
    items = data.parts[part]
    assert isinstance(items, FileItems)
    paths = [path.relative_to(folder).as_posix() for path in items.paths]
    return list(zip(paths, items.labels.tolist(), strict=True))


def left_out(data: SourceData) -> dict[str, tuple[int, tuple[str, ...]]]:
    """What was left out, by reason."""
    return {each.reason: (each.count, each.examples) for each in data.understanding.left_out}
