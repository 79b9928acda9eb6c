"""What can be done with the frozen prefix's output, by name; imports neither torch nor Keras."""

from __future__ import annotations

CACHE_MODES = ("auto", "memory", "disk", "off")
