"""The ways to draw training images, by name; imports no torch."""

from __future__ import annotations

SAMPLINGS = ("natural", "balanced")
