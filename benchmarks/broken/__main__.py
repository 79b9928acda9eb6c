"""`python -m benchmarks.broken`: broken files that pass, sound files that do not, and the time."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.broken.cuts import BLEND, cut_files
from benchmarks.broken.pictures import drawing, photograph
from benchmarks.broken.variants import ODD, VARIANTS, Variant
from kerastl.data.decoding import decoded, decoding_reason, quiet_decoding

_STEPS = 8
_WRONG = 0.1


def wrong_share(found: Image.Image, expected: Image.Image) -> float:
    """Share of the pixels that are off by more than 8 of 255 steps in a channel."""
    if found.size != expected.size:
        return 1.0
    difference = np.asarray(found).astype(int) - np.asarray(expected)
    return float((np.abs(difference).max(axis=-1) > _STEPS).mean())


@dataclass
class Cuts:
    """Cut files.

    Attributes:
        made: How many.
        passed: Those that are read, with more than a tenth of the pixels wrong.
        blended: Likewise, of two files of bare pixels, which make a sound third one.
        unread: Formats that are not read at all.
    """

    made: int = 0
    passed: list[str] = field(default_factory=list)
    blended: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def cut_in_every_way(folder: Path, *, seed: int = 0) -> Cuts:
    """Cut a file of every variant in every way, and read it."""
    cuts = Cuts()
    for number, variant in enumerate(VARIANTS):
        pictures = [photograph(seed + 2 * number + other, 320, 240) for other in (0, 1)]
        whole, other = (variant.write(picture) for picture in pictures)
        expected = _reading(folder, variant, whole)
        if isinstance(expected, str):
            cuts.unread.append(f"{variant.name}: {expected}")
            continue
        for name, content in cut_files(variant, whole, other).items():
            cuts.made += 1
            found = _reading(folder, variant, content)
            if not isinstance(found, str) and (share := wrong_share(found, expected)) > _WRONG:
                is_blend = variant.is_bare and name == BLEND
                words = f"{variant.name}, {name}: {share:.0%} of the pixels"
                (cuts.blended if is_blend else cuts.passed).append(words)
    return cuts


def false_alarms(folder: Path, count: int, *, largest: int = 260) -> tuple[list[str], Counter[str]]:
    """Sound files that are refused, and how many of each kind there were."""
    alarms: list[str] = []
    kinds: Counter[str] = Counter()
    read = [each for each in (*VARIANTS, *ODD) if _is_read(folder, each)]
    for number in range(count):
        variant = read[number % len(read)]
        turn = number // len(read)
        generator = np.random.default_rng(number)
        width, height = (int(side) for side in generator.integers(3, largest, 2))
        draw = drawing if turn % 2 else photograph
        found = _reading(folder, variant, variant.write(draw(number, width, height)))
        kinds[variant.name] += 1
        if isinstance(found, str):
            alarms.append(f"{variant.name}, {draw.__name__} {number}, {width}x{height}: {found}")
    return alarms, kinds


def _is_read(folder: Path, variant: Variant) -> bool:
    return not isinstance(_reading(folder, variant, variant.write(photograph(0, 64, 48))), str)


def _reading(folder: Path, variant: Variant, content: bytes) -> Image.Image | str:
    """The picture in a file, or why it is refused."""
    path = folder / f"picture.{variant.suffix}"
    path.write_bytes(content)
    try:
        with quiet_decoding():
            return decoded(path)
    except Exception as error:
        return decoding_reason(error)


def main() -> int:
    """Count both, and list them.

    Returns:
        0, or 1 where five cuts or more pass, or a sound file does not.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.broken", description=__doc__)
    parser.add_argument("--sound", type=int, default=1000, metavar="N", help="default: 1000")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument("--largest", type=int, default=260, metavar="PIXELS", help="default: 260")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        cuts = cut_in_every_way(Path(name), seed=options.seed)
        print(f"{len(cuts.passed)} of {cuts.made} cuts pass", *cuts.passed, sep="\n  ")
        print("Two files of bare pixels in one, which nothing shows", *cuts.blended, sep="\n  ")
        print("Not read at all", *cuts.unread, sep="\n  ")
        alarms, kinds = false_alarms(Path(name), options.sound, largest=options.largest)
        total = sum(kinds.values())
        print(f"{len(alarms)} of {total} sound files are refused", *alarms, sep="\n  ")
    return 1 if len(cuts.passed) >= 5 or alarms else 0


if __name__ == "__main__":
    sys.exit(main())
