"""Available memory, in containers too."""

from __future__ import annotations

from pathlib import Path

import psutil

_IN_MEMORY = ("tmpfs", "ramfs")


def available_memory(cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that this process may take: what the machine has left, and its container.

    Args:
        cgroups: Where Linux shows the limits of a container.
    """
    left = [_left(cgroups, *names) for names in (_VERSION_2, _VERSION_1)]
    return min([int(psutil.virtual_memory().available), *(each for each in left if each)])


def is_in_memory(folder: str) -> bool:
    """Whether the files of a folder are in memory."""
    path = Path(folder).resolve()
    mounts = {part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)}
    above = [mount for mount in mounts if path.is_relative_to(mount)]
    return bool(above) and mounts[max(above, key=len)] in _IN_MEMORY


_VERSION_2 = ("memory.max", "memory.current", "memory.stat", "inactive_file")
_VERSION_1 = (
    "memory/memory.limit_in_bytes",
    "memory/memory.usage_in_bytes",
    "memory/memory.stat",
    "total_inactive_file",
)


def _left(cgroups: Path, limit: str, used: str, stat: str, reclaimable: str) -> int | None:
    """What a container's limit leaves; None where there is none."""
    try:
        most = int((cgroups / limit).read_text())
        now = int((cgroups / used).read_text())
        lines = (cgroups / stat).read_text().splitlines()
    except (OSError, ValueError):  # no container, or "max"
        return None
    # Files that were read count as used, and give way.
    counts = dict(line.split(maxsplit=1) for line in lines)
    return max(most - now + int(counts.get(reclaimable, 0)), 1)
