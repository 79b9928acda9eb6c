"""Versions of kerastl and of what its files depend on."""

from __future__ import annotations

from importlib import metadata

__version__ = "0.1.0"


_RECORDED = ("keras", "torch", "torchvision")


def versions() -> dict[str, str]:
    """What writes a file: kerastl, Keras, torch and torchvision, each with its version."""
    installed = {name: metadata.version(name) for name in _RECORDED}
    return {"kerastl": __version__, **installed}
