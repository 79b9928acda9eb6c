"""Classes that sources say in words, the same in each of their parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from kerastl.data.csv_labels import NO_LABEL

Named = tuple[Sequence[str], np.ndarray]
"""Names, and the number of the name of each image, `(images,)`."""

_MOST_LISTED = 5


def numbered(
    parts: Mapping[str, Named], about: str
) -> tuple[dict[str, np.ndarray], tuple[str, ...], list[str]]:
    """The class of each image of each part, int64, `(images,)`; the classes; what is odd.

    Args:
        parts: What the images are called, by part, "train" among them.
        about: What the data are called in an error.

    Raises:
        ValueError: If images have no class, if training has one only, or if
            another part has a class that training lacks.

    Example:

    >>> labels, names, _ = numbered({"train": (["10", "9"], np.array([0, 1, 0]))}, "shards")
    >>> names, labels["train"].tolist()
    (('9', '10'), [1, 0, 1])
    """
    used = {part: _used(names, numbers) for part, (names, numbers) in parts.items()}
    for part, found in used.items():
        unlabelled = [number for number, name in found.items() if name.casefold() in NO_LABEL]
        if unlabelled:
            count = int(np.isin(parts[part][1], unlabelled).sum())
            raise ValueError(
                f"Every image of {about} must have a label. Received: none for {count:,} of "
                f"{len(parts[part][1]):,} in the {part} part. Add them, or leave the images out."
            )
    classes = _in_order(set(used["train"].values()))
    if len(classes) < 2:
        listed = f"one class only, {classes[0]!r}" if classes else "no images"
        raise ValueError(f"{about} has {listed}. A classifier needs at least two.")
    number_of = {name: number for number, name in enumerate(classes)}
    labels, remarks = {}, []
    for part, (names, numbers) in parts.items():
        own = set(used[part].values())
        if more := _in_order(own - number_of.keys()):
            raise ValueError(
                f"The {part} part of {about} must have the classes of training. Received: "
                f"{_listed(more)} besides. Leave it out, or name another."
            )
        if lacking := _in_order(number_of.keys() - own):
            remarks.append(
                f"The {part} part has no image of {_listed(lacking)}, of which its scores say "
                "nothing."
            )
        renumbered = np.array([number_of.get(name, -1) for name in names], np.int64)
        labels[part] = renumbered[numbers]
    return labels, tuple(classes), remarks


def _used(names: Sequence[str], numbers: np.ndarray) -> dict[int, str]:
    return {int(number): names[int(number)] for number in np.unique(numbers)}


def _in_order(names: set[str]) -> list[str]:
    """Names as text, and whole numbers as numbers where all are."""
    if all(name.isascii() and name.isdigit() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_LISTED:,} more" if len(names) > _MOST_LISTED else ""
    return f"{', '.join(map(repr, names[:_MOST_LISTED]))}{more}"
