"""Decide whether features are cached, where, and say why not."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kerastl.errors import unknown_name
from kerastl.prefix.boundary import Boundary
from kerastl.prefix.memory import available_memory, is_in_memory
from kerastl.prefix.modes import CACHE_MODES
from kerastl.prefix.sources import ImageSource
from kerastl.processes.launch import launched

MEMORY_SHARE = 0.25
"""Share of the memory that is available now which a cache may take."""

DISK_SHARE = 0.5
"""Share of the free space in the folder for temporary files."""


@dataclass(frozen=True)
class CacheLimits:
    """The most that a cache may take.

    Attributes:
        memory: Bytes in memory. None: a quarter of what is available.
        disk: Bytes in the folder for temporary files. None: half of what is free.
    """

    memory: int | None = None
    disk: int | None = None

    def room(self, *, held: Room | None = None) -> Room:
        """What may be taken now.

        Args:
            held: What an earlier cache has, and gives back or goes on with.
        """
        held = held or Room(0, 0)
        folder = tempfile.gettempdir()
        shares = self.disk is None and is_in_memory(folder)
        memory, disk = self.memory, self.disk
        if memory is None:
            files = held.disk if shares else 0
            memory = int((available_memory() + held.memory + files) * MEMORY_SHARE)
        if disk is None:
            disk = int((shutil.disk_usage(folder).free + held.disk) * DISK_SHARE)
            disk = min(disk, memory) if shares else disk
        # Each process that trains with this one on its machine has a cache of its own.
        parts = launched().local_world_size
        return Room(memory // parts, disk // parts, is_shared=shares)


@dataclass(frozen=True)
class CacheWishes:
    """What the user asked for.

    Attributes:
        mode: One of `CACHE_MODES`.
        views: Views of each image that are kept, where images change at random.
        limits: The most that the cache may take.
        vouches: Whether images that may change are taken to repeat, whatever
            the mode.
    """

    mode: str = "auto"
    views: int = 1
    limits: CacheLimits = CacheLimits()
    vouches: bool = False

    @classmethod
    def checked(
        cls, cache: str | bool, views: int = 1, limits: CacheLimits | None = None
    ) -> CacheWishes:
        """The wishes, once they are known to make sense.

        Raises:
            UnknownNameError: If there is no such mode.
            ValueError: If `views` is not a positive number, or views are asked
                for without a cache.
        """
        mode = {True: "auto", False: "off"}.get(cache, cache) if isinstance(cache, bool) else cache
        if mode not in CACHE_MODES:
            listing = '`cache` is "auto", "memory", "disk" or False.'
            raise unknown_name("cache", str(cache), CACHE_MODES, how_to_list=listing)
        if not isinstance(views, int) or isinstance(views, bool) or views < 1:
            raise ValueError(
                f"`cache_views` must be a positive integer. Received: cache_views={views!r}."
            )
        if views > 1 and mode == "off":
            raise ValueError(
                f"`cache_views` needs a cache. Received: cache_views={views} with cache=False. "
                'Say cache="memory" or cache="disk".'
            )
        return cls(mode, views, limits or CacheLimits())

    @property
    def explicit(self) -> bool:
        """Whether the user asked for a cache, and vouches for images that may change."""
        return self.mode in ("memory", "disk") or self.views > 1 or self.vouches


@dataclass
class Room:
    """What is left of the limits, in bytes.

    Attributes:
        memory: In memory.
        disk: In the folder for temporary files.
        is_shared: Whether the files of that folder are in memory.
    """

    memory: int
    disk: int
    is_shared: bool = False

    def take(self, place: str, count: int) -> None:
        """Take some of it."""
        if place == "memory" or self.is_shared:
            self.memory -= count
        if place == "disk" or self.is_shared:
            self.disk -= count


@dataclass(frozen=True)
class CacheDecision:
    """What is done with the images of one source, and why.

    Attributes:
        place: "memory", "disk", or None for no cache.
        reason: One line.
    """

    place: Literal["memory", "disk"] | None
    reason: str


def decide(
    boundary: Boundary | None,
    source: ImageSource | None,
    wishes: CacheWishes,
    room: Room,
    *,
    epochs: int,
    own_steps: Sequence[str] = (),
) -> CacheDecision:
    """Whether to cache the features of the images of a source.

    Args:
        boundary: Where the frozen prefix ends.
        source: The images; None where they cannot be told apart.
        wishes: What the user asked for.
        room: What may be taken; what is decided on is taken off it.
        epochs: How often the images are used.
        own_steps: Methods of the model that are the user's own.
    """
    if wishes.mode == "off":
        return _no("as asked")
    if own_steps:
        return _no(f"the model's own {' and '.join(own_steps)} may use the images themselves")
    if boundary is None:
        return _no("the first block trains, so nothing stays the same from epoch to epoch")
    if source is None:
        return _no(
            "only arrays, and a DataLoader that makes batches of numbered images, can be kept"
        )
    if not source.is_known_to_repeat and not wishes.explicit:
        return _no(
            f'{source.why_not}. If they are the same each time, say cache="memory"; if not, '
            "cache_views=4 keeps four views of each"
        )
    if epochs < 2 and not wishes.explicit:
        return _no("one epoch uses every image once")
    rows = source.num_images * views_of(source, wishes)
    needed = rows * boundary.bytes_per_image
    what = f"{boundary.layer} of {rows:,} images, {_size(needed)}"
    place = _place(needed, wishes.mode, room)
    if place is None:
        limits = {
            "memory": f"{_size(room.memory)} of memory",
            "disk": f"{_size(room.disk)} on disk",
            "auto": f"{_size(room.memory)} of memory or {_size(room.disk)} on disk",
        }
        return _no(f"{what}, would not fit into {limits[wishes.mode]}")
    room.take(place, needed)
    where = {"memory": "in memory", "disk": "on disk"}[place]
    return CacheDecision(place, f"{where}: {what}")


def views_of(source: ImageSource | None, wishes: CacheWishes) -> int:
    """Views of each image that are kept: one where all are the same."""
    return 1 if source is None or source.is_known_to_repeat else wishes.views


def _place(needed: int, mode: str, room: Room) -> Literal["memory", "disk"] | None:
    if mode != "disk" and needed <= room.memory:
        return "memory"
    if mode != "memory" and needed <= room.disk:
        return "disk"
    return None


def _no(reason: str) -> CacheDecision:
    return CacheDecision(None, f"not used: {reason}")


def _size(count: float) -> str:
    """Bytes in words.

    Example:

    >>> _size(2_300_000)
    '2.3 MB'
    """
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
