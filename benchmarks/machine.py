"""What the numbers were measured on. Imports no torch."""

from __future__ import annotations

import os
import platform
from datetime import datetime
from importlib import metadata
from pathlib import Path

_PACKAGES = (
    "kerastl",
    "keras",
    "torch",
    "torchvision",
    "fastai",
    "lightning",
    "jax",
    "tensorflow",
    "numpy",
    "pillow",
)


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe_machine() -> dict[str, str | int]:
    """Processor, cores, system and the time of day."""
    return {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cores": usable_cores(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Versions of Python and of what takes part."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _cpu_model() -> str:
    """Name of the processor: on Linux with family and model, as virtual machines give few names."""
    information = Path("/proc/cpuinfo")
    if not information.exists():
        return platform.processor()
    pairs = (line.partition(":") for line in information.read_text().splitlines())
    fields = {key.strip(): value.strip() for key, _, value in pairs}
    name = fields.get("model name", platform.processor())
    if "cpu family" not in fields:
        return name
    return f"{name} (family {fields['cpu family']}, model {fields['model']})"
