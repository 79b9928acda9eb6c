"""How kerastl 0.1 drew parts: by the position of each image among the others.

One more file moves many others from part to part. Runs of that time keep their split.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def positional_ranks(num_images: int, *, seed: int) -> np.ndarray:
    """Where each image stands when parts are drawn, by its number.

    The raw output of NumPy's PCG64 is, unlike its shuffles, promised to stay
    the same between releases.

    Args:
        num_images: How many there are.
        seed: Number that fixes the split, 0 or more.

    Returns:
        uint64, `(images,)`.
    """
    return np.random.PCG64(seed).random_raw(num_images)


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
