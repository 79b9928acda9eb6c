"""Splits that last: by a seeded hash of what each image is called, every class in proportion.

Ten more images of a thousand move at most a few others, at the borders of the parts.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

TRAIN = "train"


def check_fractions(validation_split: float, test_split: float) -> None:
    """Checks the two fractions.

    Raises:
        ValueError: If one is outside `[0, 1)`, or both leave nothing to train on.
    """
    for name, value in (("validation_split", validation_split), ("test_split", test_split)):
        if not 0 <= value < 1:
            raise ValueError(f"`{name}` must be at least 0 and below 1. Received: {name}={value}.")
    if validation_split + test_split >= 1:
        raise ValueError(
            "`validation_split` and `test_split` must add up to less than 1. "
            f"Received: validation_split={validation_split}, test_split={test_split}."
        )


def hashed_ranks(keys: Iterable[str], *, seed: int) -> np.ndarray:
    """Where each image stands when parts are drawn: a number that hangs on its key and the seed.

    Args:
        keys: What each image, or its group, is called.
        seed: Number that fixes the split, 0 or more.

    Returns:
        uint64, `(images,)`.
    """
    salt = f"{seed}\n".encode()
    ranks = (
        hashlib.blake2b(salt + key.encode("utf-8", "surrogateescape"), digest_size=8).digest()
        for key in keys
    )
    return np.frombuffer(b"".join(ranks), dtype="<u8").astype(np.uint64)


def split(
    labels: np.ndarray,
    ranks: np.ndarray,
    fractions: Mapping[str, float],
    *,
    class_names: Sequence[str],
    units: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Image numbers of each part: every class in proportion, by rank.

    Of each class the first ones by rank are the first part's, and so on; the rest trains.
    Where images come in units, these are never parted, and a part is as near its share as
    they allow. A class of too few units for every part is in training, then in the first part.

    Args:
        labels: Class of each image, `(images,)`; a row for each is not looked at.
        ranks: Where each image stands, as `hashed_ranks` gives it, `(images,)`.
        fractions: Fraction of all images by part; what is left is "train".
        class_names: Name of each class, for messages.
        units: Images with the same number stay together, from 0, `(images,)`; None: each alone.

    Returns:
        By part, "train" included: sorted indices into `labels`.

    Raises:
        ValueError: If a class has fewer images than there are parts, there are
            fewer units than parts, or a part would be empty.

    Example:

    >>> ranks = hashed_ranks((f"{number}.png" for number in range(8)), seed=0)
    >>> labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    >>> parts = split(labels, ranks, {"test": 0.25}, class_names=["a", "b"])
    >>> {part: len(indices) for part, indices in parts.items()}
    {'test': 2, 'train': 6}
    """
    fractions = {part: fraction for part, fraction in fractions.items() if fraction > 0}
    parts = [*fractions, TRAIN]
    if labels.ndim > 1:
        labels, class_names = np.zeros(len(labels), np.int64), ["all"]
        _check_count(len(labels), parts)
    elif units is None and fractions:
        _check_class_sizes(np.bincount(labels, minlength=len(class_names)), parts, class_names)
    if units is None:
        units = np.arange(len(labels))
    _, units, sizes = np.unique(units, return_inverse=True, return_counts=True)
    _check_count(len(sizes), parts, "groups")
    unit_ranks = np.full(len(sizes), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(unit_ranks, units, ranks)
    unit_class = _most_frequent_class(labels, units, len(class_names))
    class_sizes = np.bincount(unit_class, weights=sizes, minlength=len(class_names))
    shares = _shares(class_sizes.astype(np.int64), fractions)
    part_of = np.full(len(sizes), len(parts) - 1)
    for number in range(len(class_names)):
        members = np.flatnonzero(unit_class == number)
        members = members[np.argsort(unit_ranks[members], kind="stable")]
        wanted = [int(shares[part][number]) for part in fractions]
        for place, chosen in enumerate(_drawn(members, sizes[members], wanted)):
            part_of[chosen] = place
    drawn = {part: np.flatnonzero(part_of[units] == place) for place, part in enumerate(parts)}
    for part, numbers in drawn.items():
        if not len(numbers):
            raise ValueError(
                f"Every part must have images, but the {part} part gets none: no class has a "
                f"group for each of {', '.join(parts)}. Add images of others or set a split to 0."
            )
    return drawn


def _drawn(members: np.ndarray, sizes: np.ndarray, wanted: Sequence[int]) -> Iterator[np.ndarray]:
    """The units of one class that go to each part but train, in the order of their ranks."""
    if (sizes == 1).all():
        bounds = np.cumsum([0, *wanted])
        yield from (members[start:end] for start, end in itertools.pairwise(bounds))
        return
    left = list(range(len(members)))
    for place, count in enumerate(wanted):
        # One unit is kept for training, and one for each part to come.
        later = sum(1 for other in wanted[place + 1 :] if other)
        spare = len(left) - 1 - min(later, max(len(left) - 2, 0))
        chosen: list[int] = []
        have = 0
        for unit in left:
            size = int(sizes[unit])
            if have >= count or len(chosen) >= spare:
                break
            if have + size <= count or have + size - count < count - have:
                chosen.append(unit)
                have += size
        if not chosen and count and spare > 0:
            chosen = [min(left, key=lambda unit: (int(sizes[unit]), left.index(unit)))]
        left = [unit for unit in left if unit not in set(chosen)]
        yield members[chosen]


def _most_frequent_class(labels: np.ndarray, units: np.ndarray, num_classes: int) -> np.ndarray:
    """The class that most images of each unit have, the first of those alike, `(units,)`."""
    pairs, counts = np.unique(units * num_classes + labels, return_counts=True)
    of_unit, of_class = np.divmod(pairs, num_classes)
    order = np.lexsort((of_class, -counts, of_unit))
    first = np.unique(of_unit[order], return_index=True)[1]
    return np.asarray(of_class[order][first])


def _check_count(count: int, parts: Sequence[str], what: str = "images") -> None:
    if count < len(parts):
        raise ValueError(
            f"There must be at least {len(parts)} {what} to be split into {', '.join(parts)}. "
            f"Received: {count}. Add images{' of others' if what != 'images' else ''} or set a "
            "split to 0."
        )


def _check_class_sizes(
    class_sizes: np.ndarray, parts: Sequence[str], class_names: Sequence[str]
) -> None:
    smallest = int(class_sizes.argmin())
    if class_sizes[smallest] < len(parts):
        count = int(class_sizes[smallest])
        raise ValueError(
            f"Every class must have at least {len(parts)} images to be split into "
            f"{', '.join(parts)}. Received: {count} {'image' if count == 1 else 'images'} "
            f"of the class {class_names[smallest]!r}. Add images or set a split to 0."
        )


def _shares(class_sizes: np.ndarray, fractions: Mapping[str, float]) -> dict[str, np.ndarray]:
    """Images of each class in each part but train.

    A part's size is shared out by largest remainder, then every class gets
    at least one image and leaves at least one to train on.
    """
    shares: dict[str, np.ndarray] = {}
    for part, fraction in fractions.items():
        exact = class_sizes * fraction
        counts = np.floor(exact).astype(np.int64)
        left = round(int(class_sizes.sum()) * fraction) - int(counts.sum())
        # A difference in the last bit must not decide between equal remainders.
        remainders = np.round(exact - counts, 9)
        counts[np.argsort(-remainders, kind="stable")[: max(left, 0)]] += 1
        shares[part] = np.maximum(counts, 1)
    for number, size in enumerate(class_sizes):
        while sum(counts[number] for counts in shares.values()) >= size > 0 and shares:
            max(shares.values(), key=lambda counts: counts[number])[number] -= 1
    return shares
