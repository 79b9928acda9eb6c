"""Copies, and what is wrong where they stand: in two parts, or under two labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from kerastl.checking.finding import (
    CONTRADICTION,
    EXACT_COPY,
    GROUP_LEAK,
    LEAK,
    NEAR_COPY,
    Finding,
    FoundImage,
)
from kerastl.checking.inventory import Inventory
from kerastl.checking.reading import Facts
from kerastl.checking.resemblance import near_pairs
from kerastl.data.actions import KEEP, LEAVE_OUT, LOOK
from kerastl.data.digests import copies
from kerastl.data.tasks import REGRESSION

# Sides of a near copy may differ so much in proportion.
_MOST_STRETCHED = 1.12
# What is kept of copies: a test stays what it is, and so does a validation.
_KEPT_FIRST = ("test", "validation", "train")


@dataclass(frozen=True)
class CopySet:
    """Images that are one picture.

    Attributes:
        numbers: Which, int64.
        is_exact: Whether their pixels are the same.
    """

    numbers: np.ndarray
    is_exact: bool


def copy_sets(facts: Facts) -> list[CopySet]:
    """Every set of copies, exact ones and near ones together, by their first image."""
    exact = copies(facts.digests)
    first_of = np.arange(len(facts.digests))
    for numbers in exact:
        first_of[numbers] = numbers[0]
    # Of exact copies one is compared with the others, or they would hide its other neighbours.
    alone = np.flatnonzero((first_of == np.arange(len(first_of))) & facts.is_sound)
    near = near_pairs(facts.thumbnails, alone)
    if len(near):
        proportion = np.log(facts.widths[near] / facts.heights[near])
        near = near[np.abs(np.diff(proportion, axis=1)[:, 0]) <= np.log(_MOST_STRETCHED)]
    found = []
    for numbers in _sets(near, first_of):
        digests = set(facts.digests[numbers].tolist())
        found.append(CopySet(numbers, is_exact=len(digests) == 1))
    return found


def held_together(sets: Sequence[CopySet], groups: np.ndarray | None, count: int) -> np.ndarray:
    """A number per image, the same for copies and for images of one group, `(images,)`."""
    links = [np.stack([each.numbers[:-1], each.numbers[1:]], 1) for each in sets]
    if groups is not None:
        order = np.argsort(groups, kind="stable")
        same = groups[order][1:] == groups[order][:-1]
        links.append(np.stack([order[:-1][same], order[1:][same]], 1))
    pairs = np.concatenate(links) if links else np.zeros((0, 2), np.int64)
    return _components(pairs, count)


def copies_found(inventory: Inventory, facts: Facts, sets: Sequence[CopySet]) -> Iterator[Finding]:
    """Leaks, contradictions and copies among sets of copies."""
    for each in sets:
        numbers = np.array(sorted(each.numbers, key=lambda n: _rank(inventory, facts, n)))
        parts = {inventory.part(number) for number in numbers}
        labels = {inventory.label(number) for number in numbers}
        how = "exact copies" if each.is_exact else "near copies"
        same_file = len({inventory.name(number) for number in numbers}) < len(numbers)
        listed = "; a file is listed more than once" if same_file else ""
        is_contradiction = inventory.task != REGRESSION and len(labels) > 1
        if is_contradiction:
            names = " and ".join(repr(name) for name in sorted(labels))
            yield Finding(
                CONTRADICTION,
                f"{len(numbers)} {how} under {names}{listed}",
                _contradictory(inventory, numbers),
            )
        if len(parts) > 1:
            where = " and ".join(part for part in _KEPT_FIRST if part in parts)
            images = _first_kept(inventory, numbers, look=is_contradiction)
            yield Finding(LEAK, f"{len(numbers)} {how} in {where}{listed}", images)
        elif not is_contradiction:
            kind = EXACT_COPY if each.is_exact else NEAR_COPY
            images = _first_kept(inventory, numbers)
            where = f" in {parts.pop()}" if len(inventory.parts) > 1 else ""
            yield Finding(kind, f"{len(numbers)} {how}{where}{listed}", images)


def groups_found(inventory: Inventory) -> Iterator[Finding]:
    """Groups that the data's own parts have in common."""
    if inventory.groups is None or len(inventory.parts) < 2:
        return
    names, group_of = np.unique(inventory.groups, return_inverse=True)
    table = np.zeros((len(names), len(inventory.parts)), np.int64)
    np.add.at(table, (group_of, inventory.part_of_image), 1)
    for group in np.flatnonzero((table > 0).sum(1) > 1):
        numbers = np.flatnonzero(group_of == group)
        counts = ", ".join(
            f"{int(count)} in {part}"
            for part, count in zip(inventory.parts, table[group], strict=True)
            if count
        )
        images = tuple(inventory.found(number, LOOK) for number in numbers)
        yield Finding(GROUP_LEAK, f"The group {names[group]!r} has {counts}", images)


def _rank(inventory: Inventory, facts: Facts, number: int) -> tuple[int, int, int]:
    """What decides which of some copies is kept: part, size, order."""
    size = int(facts.widths[number]) * int(facts.heights[number])
    return _KEPT_FIRST.index(inventory.part(number)), -size, int(number)


def _first_kept(
    inventory: Inventory, numbers: np.ndarray, *, look: bool = False
) -> tuple[FoundImage, ...]:
    """The first is kept; a file that is listed again is the same file and cannot be left out."""
    kept = inventory.name(numbers[0])
    return tuple(
        inventory.found(
            number, LOOK if look else KEEP if inventory.name(number) == kept else LEAVE_OUT
        )
        for number in numbers
    )


def _contradictory(inventory: Inventory, numbers: np.ndarray) -> tuple[FoundImage, ...]:
    """All are to be looked at; where most agree, those of another label are to be left out."""
    labels = [inventory.label(number) for number in numbers]
    names, counts = np.unique(labels, return_counts=True)
    most = counts.max() * 2 > len(labels) and len(labels) > 2
    kept = str(names[counts.argmax()]) if most else None
    kept_files = {
        inventory.name(n) for n, label in zip(numbers, labels, strict=True) if label == kept
    }
    return tuple(
        inventory.found(number, LOOK)
        if kept is None or label == kept or inventory.name(number) in kept_files
        else inventory.found(number, LEAVE_OUT, suggested_label=kept)
        for number, label in zip(numbers, labels, strict=True)
    )


def _sets(near: np.ndarray, first_of: np.ndarray) -> list[np.ndarray]:
    """Numbers of each set of two or more, by the first."""
    own = np.stack([np.arange(len(first_of)), first_of], 1)
    number = _components(np.concatenate([own, near]), len(first_of))
    order = np.argsort(number, kind="stable")
    pieces = np.split(order, np.flatnonzero(np.diff(number[order])) + 1)
    found = [piece for piece in pieces if len(piece) > 1]
    return sorted(found, key=lambda numbers: int(numbers[0]))


def _components(pairs: np.ndarray, count: int) -> np.ndarray:
    """A number per image, the same for images that pairs connect."""
    links = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    numbers: np.ndarray = connected_components(links, directed=False)[1]
    return numbers
