"""How many planted faults `kerastl check` finds, its false alarms, and its time.

    python -m benchmarks.checking --data fashion-mnist --data digits --images 4000

Copies of images (re-encoded, resized, cropped by 2 %), flipped labels and leaks from the
training part into the test part are planted in a folder of files, which is then checked.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.accuracy.image_sets import NAMES, ImageSet, load_present

COPIES, LEAKS, FLIPS = 50, 10, 30
TEST_SHARE = 0.2
HOW = ("re-encoded", "resized", "cropped")
_QUALITIES = (40, 60, 75)
_SCALES = (0.6, 0.75, 1.4)
_CROP = 0.02


@dataclass
class Planted:
    """What was planted in a folder.

    Attributes:
        folder: With `train/` and `test/`.
        copies: Path of an image and of its copy, and how it was made.
        leaks: Likewise, the one in the training part, the other in the test part.
        flips: Path of each image whose label was changed, and its true class.
    """

    folder: Path
    copies: list[tuple[Path, Path, str]] = field(default_factory=list)
    leaks: list[tuple[Path, Path, str]] = field(default_factory=list)
    flips: dict[Path, str] = field(default_factory=dict)


def changed(image: Image.Image, how: str, number: int) -> tuple[Image.Image, int]:
    """A copy of an image as people make them, and the quality to save it with.

    Args:
        image: The image.
        how: One of `HOW`.
        number: Takes one of several strengths.
    """
    if how == "re-encoded":
        return image, _QUALITIES[number % len(_QUALITIES)]
    if how == "resized":
        scale = _SCALES[number % len(_SCALES)]
        sides = tuple(max(1, round(side * scale)) for side in image.size)
        return image.resize(sides, Image.Resampling.BICUBIC), 90
    width, height = image.size
    left, top = max(1, round(width * _CROP)), max(1, round(height * _CROP))
    boxes = (
        (left, 0, width, height),
        (0, top, width, height - top),
        (left // 2, top // 2, width - (left - left // 2), height - (top - top // 2)),
    )
    return image.crop(boxes[number % len(boxes)]), 90


def plant(images: ImageSet, folder: Path, *, most: int, seed: int, quality: int = 92) -> Planted:
    """Write some images as files with planted faults.

    Args:
        images: The set.
        folder: Where `train/` and `test/` go.
        most: Images at most.
        seed: Decides which, and where the faults are.
        quality: Of the JPEG files.
    """
    draws = np.random.default_rng(seed)
    chosen = draws.permutation(len(images.labels))[:most]
    in_test = draws.random(len(chosen)) < TEST_SHARE
    flipped = set(draws.permutation(len(chosen))[:FLIPS].tolist())
    planted = Planted(folder)
    written: list[tuple[Path, Image.Image, str, bool]] = []
    for place, number in enumerate(chosen):
        label = int(images.labels[number])
        name = images.class_names[label]
        if place in flipped:
            others = [other for other in images.class_names if other != name]
            name, true = others[int(draws.integers(len(others)))], name
        path = folder / ("test" if in_test[place] else "train") / name / f"{place:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(images.images[number])
        image.save(path, quality=quality)
        if place in flipped:
            planted.flips[path] = true
        written.append((path, image, name, bool(in_test[place])))
    clean = [each for each in written if each[0] not in planted.flips]
    training = [each for each in clean if not each[3]]
    order = draws.permutation(len(training))
    for number in range(COPIES + LEAKS):
        path, _, name, _ = training[order[number]]
        is_leak = number >= COPIES
        how = "exact" if is_leak and number % 2 else HOW[number % len(HOW)]
        part = "test" if is_leak else "train"
        copy = folder / part / name / f"copy_{number:02d}.jpg"
        copy.parent.mkdir(parents=True, exist_ok=True)
        if how == "exact":
            copy.write_bytes(path.read_bytes())
        else:
            with Image.open(path) as opened:
                changed_image, own_quality = changed(opened.convert("RGB"), how, number // 3)
            changed_image.save(copy, quality=own_quality)
        (planted.leaks if is_leak else planted.copies).append((path, copy, how))
    return planted


def score(planted: Planted, found: Any, seconds: float) -> dict[str, Any]:
    """How much of what was planted was found, and what else was said to be so.

    Args:
        planted: What was planted.
        found: The `DataCheck` of the folder.
        seconds: What it took.
    """
    together = [
        {Path(image.name) for image in finding.images}
        for kind in ("leak", "contradiction", "exact copy", "near copy")
        for finding in found.of(kind)
    ]
    leaks = [{Path(image.name) for image in finding.images} for finding in found.of("leak")]
    errors = [Path(finding.images[0].name) for finding in found.of("likely label error")]
    known = [{one, other} for one, other, _ in planted.copies + planted.leaks]
    kinds = sorted({how for _, _, how in planted.copies})
    right = [path in planted.flips for path in errors]
    first = right[: len(planted.flips)]
    return {
        "images": found.num_images,
        "copies": _share(
            [any({one, other} <= each for each in together) for one, other, _ in planted.copies]
        ),
        **{
            f"copies {kind}": _share(
                [
                    any({one, other} <= each for each in together)
                    for one, other, how in planted.copies
                    if how == kind
                ]
            )
            for kind in kinds
        },
        "leaks": _share(
            [any({one, other} <= each for each in leaks) for one, other, _ in planted.leaks]
        ),
        "other copies": sum(not any(each <= pair for pair in known) for each in together),
        "flips": _share([path in errors for path in planted.flips]),
        "other label errors": right.count(False),
        f"flips among the first {len(first)}": f"{sum(first)}",
        "seconds per 1,000": round(1000 * seconds / found.num_images, 1),
        "of them for copies and faults": round(
            1000 * found.seconds["copies and faults"] / found.num_images, 1
        ),
    }


def _share(found: Sequence[bool]) -> str:
    return f"{sum(found)} of {len(found)}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Plant, check, and print a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", action="append", help=f"{', '.join(NAMES)} or folder:PATH.")
    parser.add_argument("--images", type=int, default=2000, help="Images of each set at most.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--image-size", type=int, default=None, help="For the network, pixels.")
    parser.add_argument("--backbone", default=None)
    given = parser.parse_args(arguments)
    from kerastl.checking.check import DEFAULT_BACKBONE, check_data

    for images in load_present(given.data or NAMES[:2], echo=print):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["KERASTL_CACHE"] = f"{folder}/cache"
            planted = plant(images, Path(folder) / "images", most=given.images, seed=given.seed)
            for again in ("", ", features kept"):
                start = time.perf_counter()
                found = check_data(
                    f"folder:{planted.folder}",
                    backbone=given.backbone or DEFAULT_BACKBONE,
                    image_size=given.image_size,
                    seed=given.seed,
                )
                print(f"\n{images.name}{again}")
                for name, value in score(planted, found, time.perf_counter() - start).items():
                    print(f"  {name:<32}{value}")


if __name__ == "__main__":
    main()
