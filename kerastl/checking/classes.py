"""Classes with few images, and names that are perhaps one."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np

from kerastl.checking.finding import CLOSE_NAMES, RARE_CLASS, Finding
from kerastl.checking.inventory import Inventory
from kerastl.data.tasks import REGRESSION

_FEWEST, _FEW, _FEW_SHARE = 5, 50, 0.05
# A letter more, less or another is a slip only in a long word.
_LONG_WORD, _TURNED_WORD = 8, 5
_MOST_COMPARED = 5000


def class_counts(inventory: Inventory) -> np.ndarray:
    """Images of each class by part, `(parts, classes)`; none for numbers."""
    counts = np.zeros((len(inventory.parts), len(inventory.class_names)), np.int64)
    if inventory.is_of_classes:
        np.add.at(counts, (inventory.part_of_image, inventory.labels), 1)
    elif inventory.task != REGRESSION:
        np.add.at(counts, inventory.part_of_image, inventory.labels.astype(np.int64))
    return counts


def classes_found(inventory: Inventory) -> Iterator[Finding]:
    """Rare classes, classes that a part lacks, and names that nearly agree."""
    if inventory.task == REGRESSION:
        return
    by_part = class_counts(inventory)
    yield from rare_classes(inventory.class_names, by_part, inventory.parts)
    for first, second, why in close_names(inventory.class_names):
        counts = by_part.sum(0)[[inventory.class_names.index(name) for name in (first, second)]]
        yield Finding(
            CLOSE_NAMES, f"{first!r} ({counts[0]:,} images) and {second!r} ({counts[1]:,}): {why}"
        )


def rare_classes(
    names: Sequence[str], by_part: np.ndarray, parts: Sequence[str]
) -> Iterator[Finding]:
    """Classes with too few images, and those of which a part has none."""
    counts = by_part.sum(0)
    largest = int(counts.max(initial=0))
    for number in np.argsort(counts, kind="stable"):
        count, name = int(counts[number]), names[int(number)]
        if count < _FEWEST or (count < _FEW and count < _FEW_SHARE * largest):
            images = "1 image" if count == 1 else f"{count} images"
            yield Finding(RARE_CLASS, f"{name!r} has {images}, the largest class {largest:,}")
    for number, part in enumerate(parts):
        missing = [names[int(n)] for n in np.flatnonzero((by_part[number] == 0) & (counts > 0))]
        if missing:
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            listed = ", ".join(map(repr, missing[:5]))
            yield Finding(RARE_CLASS, f"The {part} part has no image of {listed}{more}")


def close_names(names: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Pairs of names that are perhaps one, and why.

    Example:

    >>> list(close_names(["Sun flower", "sun_flower", "rose", "roses", "class 1", "class 2"]))
    [('Sun flower', 'sun_flower', 'the same letters'), ('rose', 'roses', 'one and many')]
    """
    words = {name: _words_of(name) for name in names}
    if len(names) > _MOST_COMPARED:
        # Only what is the same once simplified: all pairs would take too long.
        simple = sorted(names, key=lambda name: "".join(words[name]))
        pairs: Iterator[tuple[str, str]] = itertools.pairwise(simple)
    else:
        pairs = itertools.combinations(names, 2)
    for first, second in pairs:
        why = _why_close(words[first], words[second])
        if why:
            yield first, second, why


def _words_of(name: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", name).casefold()
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return re.findall(r"[^\W\d_]+|\d+", plain)


def _why_close(first: list[str], second: list[str]) -> str:
    one, other = "".join(first), "".join(second)
    if one == other:
        return "the same letters" if one else ""
    numbers = [[word for word in words if word.isdigit()] for words in (first, second)]
    if numbers[0] != numbers[1]:
        return ""
    if [_singular(word) for word in first] == [_singular(word) for word in second]:
        return "one and many"
    if sorted(first) == sorted(second):
        return "the same words in another order"
    different = [pair for pair in itertools.zip_longest(first, second) if pair[0] != pair[1]]
    if len(first) != len(second) or len(different) != 1:
        return "a slip of a letter" if _is_slip(one, other) and len(first) != len(second) else ""
    return "a slip of a letter" if _is_slip(*different[0]) else ""


def _singular(word: str) -> str:
    """An English word without the ending of many; good enough to compare two names.

    Example:

    >>> [_singular(word) for word in ("roses", "berries", "boxes", "glass")]
    ['rose', 'berry', 'box', 'glass']
    """
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("xes", "ches", "shes", "sses")):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _is_slip(first: str, second: str) -> bool:
    """Whether two words differ by a letter, or by two neighbours that changed places."""
    short, long = sorted((first, second), key=len)
    if len(short) < _TURNED_WORD or len(long) - len(short) > 1:
        return False
    start = next((n for n, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), None)
    if start is None:
        return len(short) >= _LONG_WORD
    if len(short) == len(long):
        turned = short[:start] + short[start : start + 2][::-1] + short[start + 2 :]
        if turned == long:
            return True
        return len(short) >= _LONG_WORD and short[start + 1 :] == long[start + 1 :]
    return len(short) >= _LONG_WORD and short[start:] == long[start + 1 :]
