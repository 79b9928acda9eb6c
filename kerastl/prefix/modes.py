"""The cache modes, by name. Imports neither torch nor Keras."""

from __future__ import annotations

CACHE_MODES = ("auto", "memory", "disk", "off")
