"""Copies of an image: kept in one part, and named where they are in two or of two labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from kerastl.data.digests import bytes_digest, copies, file_digests
from kerastl.data.items import ArrayItems, FileItems, ImageItems, SourceData, groups_of
from kerastl.data.scanning import CHECKED_UP_FRONT
from kerastl.data.stored_items import StoredItems

_MOST_LISTED = 5
_FEWEST_PICTURES = 3


def with_digests(data: SourceData) -> SourceData:
    """The data with a digest of each image, where there are at most `CHECKED_UP_FRONT`.

    Of more files each is taken when the file is first read. Prepared sets have none.
    """
    total = sum(len(items.labels) for items in data.parts.values())
    if total > CHECKED_UP_FRONT:
        return data
    return replace(data, parts={part: _digested(items) for part, items in data.parts.items()})


def _digested(items: ImageItems) -> ImageItems:
    if isinstance(items, FileItems):
        return replace(items, digests=file_digests(items.paths))
    if isinstance(items, StoredItems):
        digests = [items.read_digest(index) for index in range(len(items.labels))]
        return replace(items, digests=np.array(digests, dtype=str))
    if isinstance(items, ArrayItems):
        digests = [bytes_digest(image.tobytes()) for image in items.images]
        return replace(items, digests=np.array(digests, dtype=str))
    return items


def kept_together(data: SourceData) -> SourceData:
    """The data with copies of an image, and what is in one group with them, as one group."""
    return replace(data, parts={part: _together(items) for part, items in data.parts.items()})


def _together(items: ImageItems) -> ImageItems:
    digests: np.ndarray | None = getattr(items, "digests", None)
    if digests is None or not (sets := copies(digests)):
        return items
    groups = groups_of(items)
    count = len(items.labels)
    # Images are joined with the first of their copies, and with the first of their group.
    first = np.arange(count)
    for numbers in sets:
        first[numbers] = numbers[0]
    for number in _of_few_pictures(items, first):
        alone = items.labels == number
        first[alone] = np.flatnonzero(alone)
    if groups is None and len(np.unique(first)) < _FEWEST_PICTURES:
        return items
    ties = [(np.arange(count), first)]
    if groups is not None:
        _, where, inverse = np.unique(groups, return_index=True, return_inverse=True)
        ties.append((np.arange(count), where[inverse]))
    joined = _components(count, ties)
    names = [str(number) for number in joined] if groups is None else groups[joined].tolist()
    return replace(items, groups=np.array(names, dtype=str))  # type: ignore[type-var]


def _of_few_pictures(items: ImageItems, first: np.ndarray) -> list[int]:
    """Classes with fewer different pictures than parts: these would be in training alone."""
    if items.labels.ndim > 1 or groups_of(items) is not None:
        return []
    found = []
    for number in np.unique(items.labels):
        of_class = first[items.labels == number]
        if len(np.unique(of_class)) < min(_FEWEST_PICTURES, len(of_class)):
            found.append(int(number))
    return found


def _components(count: int, ties: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The first image of all that each is joined with, by whatever number of ties."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    rows, columns = (np.concatenate([tie[side] for tie in ties]) for side in (0, 1))
    graph = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(count, count))
    _, component = connected_components(graph, directed=False)
    _, first = np.unique(component, return_index=True)
    return np.asarray(first[component])


def with_copies_told(data: SourceData) -> SourceData:
    """The data, what is known of copies among its remarks.

    Pictures under two labels, and in two parts of the data, are warned of.

    Args:
        data: Images with digests.
    """
    parts = [(part, items) for part, items in data.parts.items() if len(items.labels)]
    digests = np.concatenate([_digests_of(items) for _, items in parts]) if parts else np.array([])
    sets = copies(digests)
    if not sets:
        return data
    places = list(_places(dict(parts)))
    warnings, notes = [], []
    contradictory = [found for found in sets if not _are_alike(places, found)]
    if contradictory:
        examples = [_listed(data, places, found) for found in contradictory[:_MOST_LISTED]]
        more = len(contradictory) - len(examples)
        warnings.append(
            f"{_pictures(len(contradictory))} under two labels: {'; '.join(examples)}"
            f"{f'; and {more} more' if more else ''}. Which label is right? "
            "Leave the other file out."
        )
    leaks = [found for found in sets if len({places[int(number)][0] for number in found}) > 1]
    if leaks:
        named = _names_of_parts({places[int(number)][0] for found in leaks for number in found})
        warnings.append(
            f"{_pictures(len(leaks))} in more than one part of the data ({named}): scores on "
            "these say nothing of new images. Remove the copies."
        )
    extra = sum(len(found) - 1 for found in sets)
    notes.append(
        f"{extra:,} of {len(digests):,} images {'is a copy' if extra == 1 else 'are copies'} of "
        "others, byte for byte; copies stay in one part where the parts are drawn."
    )
    train = data.parts["train"]
    pictures = np.unique(_digests_of(train), return_inverse=True)[1]
    few = [data.class_names[number] for number in _of_few_pictures(train, pictures)]
    if few:
        notes.append(
            f"{', '.join(map(repr, few[:_MOST_LISTED]))} "
            f"{'has' if len(few) == 1 else 'have'} fewer than {_FEWEST_PICTURES} different "
            "pictures, so copies of them are in several parts."
        )
    told = data.understanding.with_remarks(warnings=warnings, notes=notes)
    return replace(data, understanding=told)


def _digests_of(items: ImageItems) -> np.ndarray:
    found: np.ndarray | None = getattr(items, "digests", None)
    return np.full(len(items.labels), "") if found is None else found


def _places(parts: Mapping[str, ImageItems]) -> Iterator[tuple[str, ImageItems, int]]:
    for part, items in parts.items():
        for index in range(len(items.labels)):
            yield part, items, index


def _label(place: tuple[str, ImageItems, int]) -> Any:
    _, items, index = place
    return np.asarray(items.labels[index]).tolist()


def _are_alike(places: Sequence[tuple[str, ImageItems, int]], numbers: np.ndarray) -> bool:
    labels = [_label(places[int(number)]) for number in numbers]
    return all(label == labels[0] for label in labels)


def _listed(
    data: SourceData, places: Sequence[tuple[str, ImageItems, int]], numbers: np.ndarray
) -> str:
    shown: dict[str, str] = {}
    for number in numbers:
        place = places[int(number)]
        label = _label(place)
        text = repr(data.class_names[label]) if isinstance(label, int) else str(label)
        shown.setdefault(text, f"{place[1].key(place[2])} as {text}")
    return " and ".join(list(shown.values())[:2])


def _pictures(count: int) -> str:
    return "1 picture is" if count == 1 else f"{count:,} pictures are"


def _names_of_parts(parts: set[str]) -> str:
    return ", ".join(sorted(parts, key=["train", "validation", "test"].index))
