"""Finding image files by path, folder and pattern."""

from __future__ import annotations

from pathlib import Path

import pytest

from kerastl.data import image_files


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in (
        "b.jpg",
        "a.PNG",
        "notes.txt",
        ".hidden.png",
        "deep/er/c.webp",
        "__MACOSX/b.jpg",
        ".x/d.png",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def names(files: list[Path], folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in files]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["b.jpg"], ["b.jpg"]),
        (["."], ["a.PNG", "b.jpg", "deep/er/c.webp"]),
        (["*.jpg"], ["b.jpg"]),
        (["**/*.webp", "*.*"], ["deep/er/c.webp", "a.PNG", "b.jpg"]),
        (["b.jpg", "."], ["b.jpg", "a.PNG", "deep/er/c.webp"]),
    ],
)
def test_patterns_become_images(photos: Path, patterns: list[str], expected: list[str]) -> None:
    assert names(image_files([str(photos / pattern) for pattern in patterns]), photos) == expected


def test_one_path_needs_no_list(photos: Path) -> None:
    assert image_files(photos / "b.jpg") == [photos / "b.jpg"]  # type: ignore[arg-type]


def test_links_in_circles_end(photos: Path) -> None:
    (photos / "deep" / "round").symlink_to(photos)
    assert len(image_files([photos])) == 3


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("none.jpg", "does not exist"),
        ("notes.txt", "no known image format. Known formats: avif, bmp"),
        ("*.tiff", "No image matches"),
        (".x/empty", "holds no image"),
    ],
)
def test_a_pattern_without_images_is_named(photos: Path, pattern: str, message: str) -> None:
    (photos / ".x" / "empty").mkdir()
    with pytest.raises(ValueError, match=message):
        image_files([photos / pattern])
