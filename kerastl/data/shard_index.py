"""Where the samples of a tar shard begin, found in one pass over its headers.

With the places known a shard is read by number, as a folder of files is: any order, any
split, and going on within an epoch need nothing of their own. Python's `tarfile` suffices;
the library webdataset reads shards front to back, and its random access wants index files
beside the shards. The index is kept in the user's cache folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from kerastl.data.formats import HEIF_SUFFIXES, IMAGE_SUFFIXES
from kerastl.internals.printable import printable
from kerastl.internals.user_cache import user_cache
from kerastl.internals.whole_files import write_whole

# In every name: an index of another form is never found.
_FORMAT = "kerastl shard index 1"
# The key of a sample and the ending of a member, as webdataset takes names apart.
_MEMBER = re.compile(r"((?:.*/|)[^./][^./]*)\.([^/]+)")
_PIECE = 1 << 20
_MOST_LISTED = 6
_ENCODING = ("utf-8", "surrogateescape")


@dataclass(frozen=True)
class Wanted:
    """What of a sample is its image and what its class.

    Attributes:
        label: Ending of the member that says the class.
        field: Names, with dots between them, of the class in that member,
            which is JSON; "" where it is the member's whole text.
        image: Ending of the member that is the image, or "": the one that is an image.
    """

    label: str = "cls"
    field: str = ""
    image: str = ""


@dataclass(frozen=True)
class ShardIndex:
    """The samples of one shard that have an image.

    Attributes:
        size: Bytes of the shard when it was looked through.
        changed: When it was last changed then, nanoseconds.
        keys: What each sample is called, UTF-8, `(samples,)`.
        endings: Of the image's name, UTF-8, `(samples,)`.
        offsets: Where the image begins, bytes, int64, `(samples,)`.
        sizes: Bytes of the image, int64, `(samples,)`.
        labels: The class, UTF-8, `(samples,)`; empty where the sample says none.
        without_image: First samples without an image, UTF-8.
        num_without_image: How many there are.
        is_ended: Whether the shard ends as a tar file should.
    """

    size: int
    changed: int
    keys: np.ndarray = field(repr=False)
    endings: np.ndarray = field(repr=False)
    offsets: np.ndarray = field(repr=False)
    sizes: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    without_image: np.ndarray = field(repr=False)
    num_without_image: int = 0
    is_ended: bool = True

    def __len__(self) -> int:
        return len(self.offsets)

    def key(self, number: int) -> str:
        """What a sample is called."""
        return text_of(self.keys[number])

    def ending(self, number: int) -> str:
        """The ending of its image's name."""
        return text_of(self.endings[number])


def text_of(content: bytes) -> str:
    """Text of an index."""
    return content.decode(*_ENCODING)


def index_of(shard: Path, wanted: Wanted) -> ShardIndex:
    """The index of a shard, from the cache folder where it is kept.

    Args:
        shard: A tar file that is not compressed.
        wanted: What of a sample is its image and what its class.

    Raises:
        ValueError: If it is no such file, or a sample has two images.
    """
    about = repr((_FORMAT, os.path.realpath(shard), wanted)).encode(*_ENCODING)
    kept = user_cache("shards") / f"{hashlib.blake2b(about, digest_size=16).hexdigest()}.npz"
    found = os.stat(shard)
    index = _kept(kept)
    if index is not None and (index.size, index.changed) == (found.st_size, found.st_mtime_ns):
        return index
    index = _built(shard, wanted, found)
    # A cache folder that cannot be written to costs another pass the next time, and no more.
    with contextlib.suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_whole(kept, lambda path: np.savez(path, **vars(index)))
    return index


def _kept(path: Path) -> ShardIndex | None:
    try:
        # Opened here: NumPy 2.4 leaves a damaged file open.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            values = {name: arrays[name] for name in arrays.files}
            scalars = {name: value.item() for name, value in values.items() if not value.ndim}
            return ShardIndex(**{**values, **scalars})
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile):
        return None


@dataclass(frozen=True)
class _Member:
    ending: str
    offset: int
    size: int


def _built(shard: Path, wanted: Wanted, found: os.stat_result) -> ShardIndex:
    rows: list[tuple[bytes, bytes, int, int, bytes]] = []
    without: list[bytes] = []
    count = 0
    is_whole = True
    with open(shard, "rb") as headers, open(shard, "rb") as contents:
        tar = _opened(shard, headers)
        for key, members in _samples(shard, tar, found.st_size):
            image = _image(shard, key, members, wanted)
            is_whole = image is not None and wanted.label in members
            if image is None:
                count += 1
                without += [key.encode(*_ENCODING)] if len(without) < _MOST_LISTED else []
                continue
            label = _label(shard, key, members, wanted, contents)
            rows.append(
                (
                    key.encode(*_ENCODING),
                    image.ending.encode(*_ENCODING),
                    image.offset,
                    image.size,
                    label.encode(*_ENCODING),
                )
            )
        is_ended = _is_ended(shard, tar.offset, found.st_size)
        if not is_ended and not is_whole:
            raise _cut_off(shard, tar.offset)
    keys, endings, offsets, sizes, labels = zip(*rows, strict=True) if rows else ((),) * 5
    return ShardIndex(
        found.st_size,
        found.st_mtime_ns,
        np.array(keys, np.bytes_),
        np.array(endings, np.bytes_),
        np.array(offsets, np.int64),
        np.array(sizes, np.int64),
        np.array(labels, np.bytes_),
        np.array(without, np.bytes_),
        count,
        is_ended,
    )


def _opened(shard: Path, file: IO[bytes]) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=file, mode="r:", encoding=_ENCODING[0], errors=_ENCODING[1])
    except tarfile.TarError as error:
        raise ValueError(
            f"{printable(shard)} must be a tar file that is not compressed, so that samples can be "
            f"read by their places. Received: another ({error}). Unpack it, as gunzip does "
            "with .tar.gz, or write it anew."
        ) from error


def _samples(
    shard: Path, tar: tarfile.TarFile, size: int
) -> Iterator[tuple[str, dict[str, _Member]]]:
    """Key and members, by ending, of each sample: members in a row with one key."""
    key, members = "", dict[str, _Member]()
    for member in _members(shard, tar, size):
        name = _MEMBER.fullmatch(member.name.removeprefix("./"))
        if not member.isreg() or member.issparse() or name is None:
            continue
        if name[1] != key:
            if members:
                yield key, members
            key, members = name[1], {}
        ending = name[2].lower()
        if ending in members:
            raise ValueError(
                f"A sample of {printable(shard)} must have each ending once. Received: "
                f"{printable(f'{key}.{ending}')!r} twice. Write the shard anew, with a key of "
                "its own for each sample."
            )
        members[ending] = _Member(ending, member.offset_data, member.size)
    if members:
        yield key, members


def _members(shard: Path, tar: tarfile.TarFile, size: int) -> Iterator[tarfile.TarInfo]:
    end = 0
    try:
        while (member := tar.next()) is not None:
            # Python 3.11 to 3.14 keep every header that they have met.
            tar.members.clear()  # type: ignore[attr-defined]
            # Sizes below 0 would lead back, and around for ever: CVE-2025-8194.
            if not end < member.offset_data <= member.offset_data + member.size <= size:
                raise tarfile.ReadError("a size that cannot be")
            end = member.offset_data
            yield member
    except (tarfile.TarError, ValueError, OverflowError, RecursionError) as error:
        raise _cut_off(shard, tar.offset) from error


def _is_ended(shard: Path, offset: int, size: int) -> bool:
    """Whether there are the zeros at the end that a tar file has, and nothing but them.

    Raises:
        ValueError: If there is more, which `tarfile` does not tell.
    """
    with open(shard, "rb") as file:
        file.seek(offset)
        while piece := file.read(_PIECE):
            if piece.strip(b"\0"):
                raise _cut_off(shard, offset)
    return offset < size


def _cut_off(shard: Path, offset: int) -> ValueError:
    return ValueError(
        f"{printable(shard)} must be one whole tar file. Received: something else at byte "
        f"{offset:,}, so it is damaged, cut off, or several in one. Fetch it again, or write it "
        "anew."
    )


def _image(shard: Path, key: str, members: dict[str, _Member], wanted: Wanted) -> _Member | None:
    if wanted.image:
        return members.get(wanted.image)
    images = [
        member
        for ending, member in members.items()
        if f".{ending}" in (*IMAGE_SUFFIXES, *HEIF_SUFFIXES) and ending != wanted.label
    ]
    if len(images) > 1:
        endings = [member.ending for member in images]
        raise ValueError(
            f"A sample of {printable(shard)} must have one image. Received: {printable(key)!r} "
            f"with {', '.join(endings)}. Name its ending: ?image={endings[0]}."
        )
    return images[0] if images else None


def _label(
    shard: Path, key: str, members: dict[str, _Member], wanted: Wanted, file: IO[bytes]
) -> str:
    member = members.get(wanted.label)
    if member is None:
        return ""
    file.seek(member.offset)
    content = file.read(member.size)
    try:
        text = content.decode().strip()
        label = _value(json.loads(text), wanted.field) if wanted.field else text
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{wanted.label} of a sample of {printable(shard)} must be "
            f"{'JSON' if wanted.field else 'text in UTF-8'}. Received: {error} in "
            f"{printable(key)!r}. Write the shard anew."
        ) from error
    if not isinstance(label, str | int):
        raise ValueError(
            f"{wanted.label}:{wanted.field} must be a name or a whole number in every sample. "
            f"Received: {str(label)[:40]!r} in {printable(key)!r} of {printable(shard)}. Name "
            "another field."
        )
    return str(label).strip()


def _value(found: Any, names: str) -> Any:
    """What JSON has under some names, one in the other; "" where it has nothing."""
    for name in names.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return "" if found is None else found
