"""Stratified splits that are the same on every machine for one seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


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


def stratified_split(
    labels: np.ndarray,
    fractions: Mapping[str, float],
    *,
    seed: int,
    class_names: Sequence[str],
) -> dict[str, np.ndarray]:
    """Image numbers of each part, every class in the same proportion.

    The size of each part is its fraction of all images, rounded; every class
    has at least one image in every part. The order is drawn from the raw
    output of NumPy's PCG64, which, unlike its shuffles, is promised to stay
    the same between releases.

    Args:
        labels: Class of each image, `(images,)`.
        fractions: Fraction of all images by part; what is left is "train".
        seed: Number that fixes the split, 0 or more.
        class_names: Name of each class, for messages.

    Returns:
        By part, "train" included: sorted indices into `labels`.

    Raises:
        ValueError: If a class has fewer images than there are parts.

    Example:

    >>> parts = stratified_split(
    ...     np.array([0, 0, 0, 0, 1, 1, 1, 1]), {"test": 0.25}, seed=0, class_names=["a", "b"]
    ... )
    >>> {part: len(indices) for part, indices in parts.items()}
    {'test': 2, 'train': 6}
    """
    fractions = {part: fraction for part, fraction in fractions.items() if fraction > 0}
    class_sizes = np.bincount(labels, minlength=len(class_names))
    _check_class_sizes(class_sizes, [*fractions, "train"], class_names)
    shares = _shares(class_sizes, fractions)
    keys = np.random.PCG64(seed).random_raw(len(labels))
    chosen: dict[str, list[np.ndarray]] = {part: [] for part in (*fractions, "train")}
    for number in range(len(class_names)):
        members = np.flatnonzero(labels == number)
        members = members[np.argsort(keys[members], kind="stable")]
        start = 0
        for part, sizes in shares.items():
            chosen[part].append(members[start : start + sizes[number]])
            start += sizes[number]
        chosen["train"].append(members[start:])
    return {part: np.sort(np.concatenate(pieces)) for part, pieces in chosen.items()}


def random_split(
    num_images: int, fractions: Mapping[str, float], *, seed: int
) -> dict[str, np.ndarray]:
    """Image numbers of each part, drawn at random, whatever the labels are.

    Args:
        num_images: How many there are.
        fractions: Fraction of all images by part; what is left is "train".
        seed: Number that fixes the split, 0 or more.

    Returns:
        By part, "train" included: sorted numbers.

    Raises:
        ValueError: If there are fewer images than parts.

    Example:

    >>> parts = random_split(8, {"test": 0.25}, seed=0)
    >>> {part: len(numbers) for part, numbers in parts.items()}
    {'test': 2, 'train': 6}
    """
    sizes = {part: max(round(num_images * f), 1) for part, f in fractions.items() if f > 0}
    if num_images <= sum(sizes.values()):
        raise ValueError(
            f"There must be at least {len(sizes) + 1} images to be split into "
            f"{', '.join([*sizes, 'train'])}. Received: {num_images}. Add images or set a split "
            "to 0."
        )
    order = np.argsort(np.random.PCG64(seed).random_raw(num_images), kind="stable")
    bounds = np.cumsum(list(sizes.values()))
    pieces = np.split(order, bounds)
    return {part: np.sort(piece) for part, piece in zip([*sizes, "train"], pieces, strict=True)}


def grouped_split(
    labels: np.ndarray, groups: np.ndarray, fractions: Mapping[str, float], *, seed: int
) -> dict[str, np.ndarray]:
    """Image numbers of each part, no group in two parts, every class as near its share as it goes.

    Large groups come first; each goes to the part that lacks most of its images.

    Args:
        labels: Class of each image, `(images,)`, or a row for each, which is not looked at.
        groups: Images of one group stay together, `(images,)`.
        fractions: Fraction of all images by part; what is left is "train".
        seed: Number that fixes the split, 0 or more.

    Returns:
        By part, "train" included: sorted numbers.

    Raises:
        ValueError: If there are fewer groups than parts.

    Example:

    >>> groups = np.array(["a", "a", "b", "c", "c", "d"])
    >>> parts = grouped_split(np.zeros(6, int), groups, {"test": 0.3}, seed=0)
    >>> {part: groups[numbers].tolist() for part, numbers in parts.items()}
    {'test': ['a', 'a'], 'train': ['b', 'c', 'c', 'd']}
    """
    parts = [*(part for part, fraction in fractions.items() if fraction > 0), "train"]
    names, group_of = np.unique(groups, return_inverse=True)
    if len(names) < len(parts):
        raise ValueError(
            f"There must be at least {len(parts)} groups to be split into {', '.join(parts)}. "
            f"Received: {len(names)}. Add images of others or set a split to 0."
        )
    classes = labels if labels.ndim == 1 else np.zeros(len(labels), np.int64)
    counts = np.zeros((len(names), int(classes.max()) + 1))
    np.add.at(counts, (group_of, classes), 1)
    shares = [fractions[part] for part in parts[:-1]]
    wanted = np.outer([*shares, 1 - sum(shares)], counts.sum(0))
    order = np.argsort(np.random.PCG64(seed).random_raw(len(names)), kind="stable")
    order = order[np.argsort(-counts[order].sum(1), kind="stable")]
    part_of = np.zeros(len(names), np.int64)
    have = np.zeros_like(wanted)
    for place, group in enumerate(order):
        left = order[place:]
        chosen = _part_that_lacks(counts[group], counts[left], wanted, have)
        part_of[group] = chosen
        have[chosen] += counts[group]
    return {part: np.flatnonzero(part_of[group_of] == number) for number, part in enumerate(parts)}


def _part_that_lacks(
    group: np.ndarray, left: np.ndarray, wanted: np.ndarray, have: np.ndarray
) -> int:
    """The part for a group: one that would stay empty, training for the last of a class."""
    train = len(wanted) - 1
    only_here = (group > 0) & (left[1:].sum(0) == 0) & (have[train] == 0)
    empty = np.flatnonzero(have.sum(1) == 0)
    if only_here.any():
        return train
    if len(empty) == len(left):
        return int(empty[0])
    lacking = ((wanted - have) / np.maximum(wanted, 1e-9)) @ group
    return int(np.flatnonzero(lacking >= lacking.max() - 1e-9)[-1])  # training where all are alike


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
