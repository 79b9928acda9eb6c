"""Available memory, in containers and under a process's own limits too."""

from __future__ import annotations

from pathlib import Path

import psutil

from kerastl.internals import heap

_IN_MEMORY = ("tmpfs", "ramfs")


def available_memory(cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that this process may take: what the machine, its container and its limits leave.

    Args:
        cgroups: Where Linux shows the limits of a container.
    """
    left = [_left(cgroups, *names) for names in (_VERSION_2, _VERSION_1)]
    found = [int(psutil.virtual_memory().available), *(each for each in left if each)]
    return min([*found, *_left_by_limits()])


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


def _left_by_limits() -> list[int]:
    """What the limits of the process leave (`ulimit -v`, `ulimit -d`), where it has any."""
    try:
        import resource
    except ImportError:  # not on Windows
        return []
    info = psutil.Process().memory_info()
    used = {"RLIMIT_AS": info.vms, "RLIMIT_DATA": getattr(info, "data", None)}
    limits = {name: resource.getrlimit(getattr(resource, name))[0] for name in used}
    return [
        max(limits[name] - taken + heap.free_bytes(), 1)
        for name, taken in used.items()
        if taken is not None and limits[name] != resource.RLIM_INFINITY
    ]


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
