"""Groups of images by their file names: what is of one patient, plant or video stays together."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np

from kerastl.data.items import FileItems, SourceData, groups_of
from kerastl.data.stored_items import EncodedItems

_MOST_LISTED = 5


def grouped_by_name(data: SourceData, pattern: str) -> SourceData:
    """The data with a group for each image: what a pattern finds in its file name.

    Args:
        data: Image files and labels.
        pattern: A regular expression; its groups in brackets, or all that it
            matches, are the name of an image's group. A file that it is not
            found in is a group of its own.

    Raises:
        ValueError: If it is no regular expression, is found in no name, or
            the images are no files or have groups already.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"`group_by` must be a regular expression. Received: group_by={pattern!r}, where: "
            f"{error}."
        ) from error
    parts: dict[str, EncodedItems] = {}
    found = 0
    for part, items in data.parts.items():
        if not isinstance(items, EncodedItems) or groups_of(items) is not None:
            raise ValueError(
                "`group_by` must be for image files that have no groups yet. Received: "
                f"group_by={pattern!r} for other data. Leave it out; a table names the column of "
                "groups: csv:FILE?group=COLUMN."
            )
        names = [_group_of(compiled, _name(items, index)) for index in range(len(items.labels))]
        found += sum(name is not None for name in names)
        groups = [
            f"{part} {number}, alone" if name is None else name for number, name in enumerate(names)
        ]
        parts[part] = replace(items, groups=np.array(groups, dtype=str))
    if not found:
        first = next(_name(items, 0) for items in parts.values() if len(items.labels))
        raise ValueError(
            f"`group_by` must be found in the names of files. Received: group_by={pattern!r}, "
            f"which is in none, such as {first!r}. Try it on that name."
        )
    return replace(data, parts=parts)


def _name(items: EncodedItems, index: int) -> str:
    """The name of an image's file, or the last piece of a record's key."""
    if isinstance(items, FileItems):
        return items.paths[index].name
    return PurePosixPath(items.key(index)).name


def _group_of(pattern: re.Pattern[str], name: str) -> str | None:
    match = pattern.search(name)
    if match is None:
        return None
    return " ".join(text or "" for text in match.groups()) if match.groups() else match.group()


def with_groups_told(data: SourceData) -> SourceData:
    """The data, how many groups there are among its remarks; one in two parts is warned of."""
    groups = {
        part: set(found.tolist())
        for part, items in data.parts.items()
        if (found := groups_of(items)) is not None
    }
    if not groups:
        return data
    everything = set().union(*groups.values())
    total = sum(len(items.labels) for items in data.parts.values())
    alone = sum(name.endswith(", alone") for name in everything)
    extra = f", {alone:,} of them single images that the pattern is not in" if alone else ""
    crossing = sorted(
        name for name in everything if sum(name in names for names in groups.values()) > 1
    )
    if not crossing:
        note = f"{total:,} images are of {len(everything):,} groups{extra}; none is in two parts."
        return replace(data, understanding=data.understanding.with_remarks(notes=[note]))
    shown = ", ".join(map(repr, crossing[:_MOST_LISTED]))
    more = len(crossing) - _MOST_LISTED
    warning = (
        f"{len(crossing):,} of {len(everything):,} groups are in more than one part of the "
        f"data: {shown}{f' and {more:,} more' if more > 0 else ''}. Scores on them say little "
        "of new groups."
    )
    return replace(data, understanding=data.understanding.with_remarks(warnings=[warning]))
