"""Tar shards in the form of webdataset, read by number: `wds:PATTERN`."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from kerastl.data.digests import files_fingerprint
from kerastl.data.items import SourceData
from kerastl.data.shard_index import ShardIndex, Wanted, index_of, text_of
from kerastl.data.shard_patterns import folder_of, shard_files
from kerastl.data.specs import DataSpec, options_of
from kerastl.data.stored_items import StoredItems
from kerastl.data.text_classes import Named, numbered
from kerastl.data.understanding import LeftOut, Understanding
from kerastl.internals.printable import printable

_OPTIONS = ("label", "image", "validation", "test")
_PARTS = ("validation", "test")
_MOST_THREADS = 8
_MOST_LISTED = 3


class ShardRecords:
    """The images of some shards, by one number each in the order of the shards.

    Args:
        shards: Tar files.
        indexes: The samples of each.
        root: The folder that keys are relative to.
    """

    def __init__(self, shards: Sequence[Path], indexes: Sequence[ShardIndex], root: Path) -> None:
        self._shards = tuple(shards)
        self._indexes = tuple(indexes)
        self._root = root
        self._ends = np.cumsum([len(index) for index in indexes])

    def encoded(self, number: int) -> bytes:
        """The content of an image file.

        Raises:
            OSError: If the shard cannot be read, or is not what it was.
        """
        shard, index, place = self._at(number)
        with open(shard, "rb") as file:
            _check_unchanged(os.fstat(file.fileno()), index)
            file.seek(int(index.offsets[place]))
            return file.read(int(index.sizes[place]))

    def size(self, number: int) -> int:
        """Bytes of its content."""
        _, index, place = self._at(number)
        return int(index.sizes[place])

    def name(self, number: int) -> str:
        """The shard, and the image's name in it."""
        shard, index, place = self._at(number)
        return printable(f"{shard}/{index.key(place)}.{index.ending(place)}")

    def key(self, number: int) -> str:
        """The shard below the pattern's folder, and the sample's key."""
        shard, index, place = self._at(number)
        path = shard.relative_to(self._root) if shard.is_relative_to(self._root) else shard
        return unicodedata.normalize("NFC", f"{path.as_posix()}/{index.key(place)}")

    def fingerprint(self, numbers: np.ndarray) -> str:
        """A digest of path, size and time of change of the shards that these records are in."""
        places = np.unique(np.searchsorted(self._ends, numbers, side="right"))
        return files_fingerprint(self._shards[place] for place in places)

    def _at(self, number: int) -> tuple[Path, ShardIndex, int]:
        shard = int(np.searchsorted(self._ends, number, side="right"))
        index = self._indexes[shard]
        return self._shards[shard], index, number - int(self._ends[shard]) + len(index)


def read_source(spec: DataSpec) -> SourceData:
    """The images of some shards; their headers are looked through, and nothing is decoded.

    A sample is what stands in a row under one key, as `000012.jpg` and
    `000012.cls`. Its class is the text of its `cls`, of the ending that the
    spec says as `label`, or a field of JSON: `label=json:info.kind`. Patterns
    of other parts begin at the folder of the first one.

    Args:
        spec: A `wds` spec.

    Returns:
        Samples in the order of the shards; without patterns for validation and
        test all are of training.

    Raises:
        ValueError: If the shards are not there, are no tar files, or their
            samples lack labels.
        UnknownNameError: If the spec has an option that is not known.
    """
    given = options_of(spec, _OPTIONS, what="option")
    label, _, path = given.get("label", Wanted.label).partition(":")
    wanted = Wanted(label.lower(), path, given.get("image", "").lower())
    root = folder_of(os.path.expanduser(spec.name))
    patterns = {"train": spec.name} | {
        part: os.path.join(root, os.path.expanduser(given[part]))
        for part in _PARTS
        if part in given
    }
    files = {part: shard_files(pattern) for part, pattern in patterns.items()}
    _check_in_one_part(files)
    shards = [shard for found in files.values() for shard in found]
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as threads:
        indexes = list(threads.map(lambda shard: index_of(shard, wanted), shards))
    index_by_shard = dict(zip(shards, indexes, strict=True))
    named, records = {}, {}
    for part, found in files.items():
        of_part = [index_by_shard[shard] for shard in found]
        records[part] = ShardRecords(found, of_part, root)
        named[part] = _labels(of_part, wanted, f"the {part} part of {str(spec)!r}")
    labels, names, remarks = numbered(named, repr(str(spec)))
    return SourceData(
        {
            part: StoredItems(records[part], np.arange(len(labels[part])), labels[part])
            for part in files
        },
        names,
        Understanding(
            {part: f"from {Path(name).name}" for part, name in patterns.items()}
            if len(patterns) > 1
            else {},
            _left_out(index_by_shard),
            warnings=(*remarks, *_without_end(index_by_shard)),
        ),
    )


def _check_unchanged(found: os.stat_result, index: ShardIndex) -> None:
    if (found.st_size, found.st_mtime_ns) != (index.size, index.changed):
        raise OSError("its shard has changed since the run began; start again")


def _check_in_one_part(files: dict[str, list[Path]]) -> None:
    seen: dict[str, str] = {}
    for part, shards in files.items():
        for shard in shards:
            other = seen.setdefault(os.path.realpath(shard), part)
            if other != part:
                raise ValueError(
                    f"A shard must be in one part. Received: {printable(shard)} for {other} and "
                    f"{part}. Name the shards of each part by a pattern of its own."
                )


def _labels(indexes: Sequence[ShardIndex], wanted: Wanted, about: str) -> Named:
    """The names of the labels, and which of them each image has."""
    labels = np.concatenate([index.labels for index in indexes])
    if not len(labels):
        raise ValueError(
            f"The samples of {about} must hold images. Received: none with "
            f"{f'the ending {wanted.image!r}' if wanted.image else 'an ending of images'}. "
            "Name it: ?image=ENDING."
        )
    if not (labels != b"").any():
        what = f"{wanted.label}:{wanted.field}" if wanted.field else wanted.label
        raise ValueError(
            f"The samples of {about} must have a label. Received: none under {what!r}. Name the "
            "ending, or the field of JSON, that says the class: ?label=txt, ?label=json:FIELD."
        )
    names, numbers = np.unique(labels, return_inverse=True)
    return [text_of(name) for name in names.tolist()], numbers


def _left_out(indexes: dict[Path, ShardIndex]) -> tuple[LeftOut, ...]:
    count = sum(index.num_without_image for index in indexes.values())
    examples = [
        printable(f"{shard.name}/{text_of(key)}")
        for shard, index in indexes.items()
        for key in index.without_image[:_MOST_LISTED].tolist()
    ]
    if not count:
        return ()
    return (LeftOut("sample without an image", count, tuple(examples[:_MOST_LISTED])),)


def _without_end(indexes: dict[Path, ShardIndex]) -> list[str]:
    names = [printable(shard.name) for shard, index in indexes.items() if not index.is_ended]
    if not names:
        return []
    more = f" and {len(names) - _MOST_LISTED:,} more" if len(names) > _MOST_LISTED else ""
    return [
        f"Shards end without the mark of an end, and may be cut off: "
        f"{', '.join(names[:_MOST_LISTED])}{more}. Fetch them again if samples are missing."
    ]
