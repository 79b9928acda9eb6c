"""Which images are for training, validation and test: drawn, or as a run has written them down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from kerastl.data.items import ImageItems, JoinedItems, SourceData, groups_of
from kerastl.data.positional_splitting import grouped_split, positional_ranks
from kerastl.data.split_file import HASHED, POSITIONAL, RecordedSplit, label_text, rows_of
from kerastl.data.splitting import TRAIN, hashed_ranks, split
from kerastl.data.stored_items import EncodedItems

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
Chosen = tuple[ImageItems, np.ndarray]


@dataclass(frozen=True)
class Assigned:
    """The images of each part.

    Attributes:
        parts: Items, and which of them a part has, by part.
        class_names: Of these images.
        notes: What to know of it, one sentence each.
    """

    parts: Mapping[str, Chosen]
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()


def drawn(
    data: SourceData, fractions: Mapping[str, float], *, seed: int, how: str = HASHED
) -> Assigned:
    """Each part's images: the source's own part, or drawn from its training images.

    Args:
        data: Images and labels.
        fractions: Share of the training images for each part that the source lacks.
        seed: Number that fixes the split.
        how: One of `SPLITS`.

    Raises:
        ValueError: If the images are too few to be split.
    """
    missing = {part: value for part, value in fractions.items() if part not in data.parts}
    train = data.parts[TRAIN]
    numbers = draw(
        train.labels,
        missing,
        keys=[train.key(index) for index in range(len(train.labels))],
        groups=groups_of(train),
        seed=seed,
        class_names=data.class_names,
        how=how,
    )
    own = {
        part: (items, np.arange(len(items.labels)))
        for part, items in data.parts.items()
        if part != TRAIN
    }
    found: dict[str, Chosen] = {part: (train, chosen) for part, chosen in numbers.items()}
    notes = (
        _lacking(train.labels, numbers, data.class_names) if groups_of(train) is not None else []
    )
    return Assigned(_in_order(found | own), data.class_names, tuple(notes))


def _lacking(
    labels: np.ndarray, parts: Mapping[str, np.ndarray], class_names: Sequence[str]
) -> list[str]:
    """A word on each class that groups, or copies, keep out of a part."""
    if labels.ndim > 1:
        return []
    notes = []
    for part, numbers in parts.items():
        absent = np.setdiff1d(labels, labels[numbers])
        if len(absent):
            names = ", ".join(repr(class_names[int(number)]) for number in absent)
            notes.append(
                f"The {part} part has no image of {names}, whose groups are in other parts: its "
                "scores say nothing of it."
            )
    return notes


def draw(
    labels: np.ndarray,
    fractions: Mapping[str, float],
    *,
    keys: Sequence[str],
    groups: np.ndarray | None,
    seed: int,
    class_names: Sequence[str],
    how: str = HASHED,
) -> dict[str, np.ndarray]:
    """Numbers of the images of each part, as `splitting.split` draws them.

    Args:
        labels: Class of each image, `(images,)`, or a row for each.
        fractions: Share of each part but training.
        keys: What each image is called.
        groups: Images of one group stay together, text, `(images,)`; or None.
        seed: Number that fixes the split.
        class_names: Name of each class.
        how: One of `SPLITS`.
    """
    if how == POSITIONAL:
        if groups is not None:
            return grouped_split(labels, groups, fractions, seed=seed)
        ranks = positional_ranks(len(labels), seed=seed)
        return split(labels, ranks, fractions, class_names=class_names)
    ranks = hashed_ranks(keys if groups is None else groups.tolist(), seed=seed)
    units = None if groups is None else np.unique(groups, return_inverse=True)[1]
    return split(labels, ranks, fractions, class_names=class_names, units=units)


def recorded(data: SourceData, record: RecordedSplit) -> Assigned:
    """Each part's images as a run has written them down; what it did not have is left out.

    Args:
        data: Images and labels.
        record: The run's own.

    Raises:
        ValueError: If none of these images is as the run had it.
    """
    before = _count(data)
    data = _without_new_classes(data, record)
    parts = list(data.parts.values())
    images = [
        (place, index) for place, items in enumerate(parts) for index in range(len(items.labels))
    ]
    rows = rows_of(
        [(parts[place].key(index), parts[place].digest(index)) for place, index in images],
        record.rows,
    )
    kept: dict[str, dict[int, list[int]]] = {}
    relabelled = 0
    for (place, index), row in zip(images, rows.rows, strict=True):
        if row is None:
            continue
        kept.setdefault(row.part, {}).setdefault(place, []).append(index)
        relabelled += row.label != label_text(parts[place].labels[index], data.class_names)
    found = {
        part: [(parts[place], np.array(chosen, np.int64)) for place, chosen in places.items()]
        for part, places in kept.items()
    }
    if record.rows and not found:
        raise ValueError(
            f"The data must hold images of the run. Received: others, as {record.file} shows: "
            f"{rows.gone:,} are gone, {rows.changed:,} have another content. Name the run's own: "
            "--data SPEC."
        )
    new = before - len(images) + sum(row is None for row in rows.rows) - rows.changed
    counts = {
        "gone": rows.gone,
        "new, and left out": new,
        "changed in content, and left out": rows.changed,
        "under another name": rows.moved,
        "under another label": relabelled,
    }
    told = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    notes = (f"The images are those of the run's {record.file.name}; since then: {told}.",)
    joined = {part: _joined(chosen) for part, chosen in found.items()}
    return Assigned(_in_order(joined), data.class_names, notes if told else ())


def _count(data: SourceData) -> int:
    return sum(len(items.labels) for items in data.parts.values())


def _without_new_classes(data: SourceData, record: RecordedSplit) -> SourceData:
    """The data without classes of which the run had no image and none has been moved to."""
    known = {row.label for row in record.rows}
    paths = {row.path for row in record.rows}
    numbers = [number for number, name in enumerate(data.class_names) if name not in known]
    if not numbers or any(items.labels.ndim > 1 for items in data.parts.values()):
        return data
    new = np.array(
        [
            number
            for number in numbers
            if not any(
                items.key(int(index)) in paths
                for items in data.parts.values()
                for index in np.flatnonzero(items.labels == number)
            )
        ],
        np.int64,
    )
    kept = np.setdiff1d(np.arange(len(data.class_names)), new)
    renumbered = np.full(len(data.class_names), -1)
    renumbered[kept] = np.arange(len(kept))
    parts = {}
    for part, items in data.parts.items():
        if not isinstance(items, EncodedItems):
            return data
        rows = items.some(np.flatnonzero(~np.isin(items.labels, new)))
        parts[part] = replace(rows, labels=renumbered[rows.labels])
    names = tuple(data.class_names[number] for number in kept)
    return replace(data, parts=parts, class_names=names)


def _joined(chosen: list[Chosen]) -> Chosen:
    (items, numbers), *others = chosen
    for other, more in others:
        both = JoinedItems(items, other)
        items, numbers = both, np.concatenate([numbers, both.start + more])
    return items, numbers


def _in_order(parts: Mapping[str, Chosen]) -> dict[str, Chosen]:
    return {part: parts[part] for part in PARTS if part in parts}
