"""Images that are broken, blank, or far from what the others are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kerastl.checking.finding import (
    BLANK,
    BROKEN,
    HALF_EMPTY,
    ODD_CHANNELS,
    ODD_SHAPE,
    TINY,
    Finding,
)
from kerastl.checking.inventory import Inventory
from kerastl.checking.reading import Facts
from kerastl.data.actions import LEAVE_OUT, LOOK

# Shorter sides below this are tiny, pixels, where they are below this share of the usual one too.
_TINY_SIDE, _TINY_SHARE = 64, 0.4
# Standard deviations of a blank image, in levels of 255; and of a faint one among clear ones.
_BLANK, _FAINT, _FAINT_SHARE = 1.0, 4.0, 0.1
# How often longer than the usual image, and in which proportion at least.
_ODD_FACTOR, _ODD_PROPORTION = 2.5, 2.5
# Up to this share of the images are odd ones out.
_ODD_SHARE = 0.05
_FEWEST = 20
_PLAIN = {"1", "L", "P", "RGB"}


def faults_found(inventory: Inventory, facts: Facts) -> Iterator[Finding]:
    """Each faulty image, kind after kind."""
    for number in np.flatnonzero(~facts.is_sound):
        reason = str(facts.reasons[number])
        yield Finding(BROKEN, reason, (inventory.found(number, LEAVE_OUT),))
    for number in np.flatnonzero(facts.half_empty > 0):
        share = f"The lower {100 * facts.half_empty[number]:.0f} % is even grey"
        yield Finding(HALF_EMPTY, share, (inventory.found(number, LEAVE_OUT),))
    sound = np.flatnonzero(facts.is_sound)
    if not len(sound):
        return
    yield from _blank(inventory, facts, sound)
    yield from _tiny(inventory, facts, sound)
    yield from _odd_shapes(inventory, facts, sound)
    yield from _odd_channels(inventory, facts, sound)


def _blank(inventory: Inventory, facts: Facts, sound: np.ndarray) -> Iterator[Finding]:
    contrast = facts.contrast
    usual = float(np.median(contrast[sound]))
    limit = max(_BLANK, min(_FAINT, _FAINT_SHARE * usual))
    for number in sound[contrast[sound] < limit]:
        detail = f"It varies by {contrast[number]:.1f} levels of 255, others by {usual:.0f}"
        yield Finding(BLANK, detail, (inventory.found(number, LEAVE_OUT),))


def _tiny(inventory: Inventory, facts: Facts, sound: np.ndarray) -> Iterator[Finding]:
    shorter = np.minimum(facts.widths, facts.heights)
    usual = float(np.median(shorter[sound]))
    for number in sound[shorter[sound] < min(_TINY_SIDE, _TINY_SHARE * usual)]:
        detail = (
            f"{facts.widths[number]} x {facts.heights[number]} pixels; the shorter side is "
            f"usually {usual:.0f}"
        )
        yield Finding(TINY, detail, (inventory.found(number, LOOK),))


def _odd_shapes(inventory: Inventory, facts: Facts, sound: np.ndarray) -> Iterator[Finding]:
    proportion = facts.widths[sound] / facts.heights[sound]
    usual = float(np.median(proportion))
    factor = np.maximum(proportion / usual, usual / proportion)
    longest = np.maximum(proportion, 1 / proportion)
    is_odd = (factor > _ODD_FACTOR) & (longest > _ODD_PROPORTION)
    # Where many are long, that is what the data are like.
    if is_odd.mean() > _ODD_SHARE and len(sound) >= _FEWEST:
        return
    for number in sound[is_odd]:
        detail = (
            f"{facts.widths[number]} x {facts.heights[number]} pixels; width over height is "
            f"usually {usual:.2f}"
        )
        yield Finding(ODD_SHAPE, detail, (inventory.found(number, LOOK),))


def _odd_channels(inventory: Inventory, facts: Facts, sound: np.ndarray) -> Iterator[Finding]:
    if len(sound) < _FEWEST:
        return
    grey = facts.is_grey
    kinds = np.array(["grey" if is_grey else "colour" for is_grey in grey], dtype=object)
    for number in sound:
        mode = str(facts.modes[number])
        if mode and mode not in _PLAIN:
            kinds[number] = _words(mode, bool(grey[number]))
    names, counts = np.unique(kinds[sound].astype(str), return_counts=True)
    usual = str(names[counts.argmax()])
    for name, count in zip(names, counts, strict=True):
        if name == usual or count > _ODD_SHARE * len(sound):
            continue
        numbers = sound[kinds[sound] == name]
        detail = f"{count} {'image is' if count == 1 else 'images are'} {name}, most are {usual}"
        yield Finding(ODD_CHANNELS, detail, tuple(inventory.found(n, LOOK) for n in numbers))


def _words(mode: str, is_grey: bool) -> str:
    """A file's mode in words.

    Example:

    >>> _words("CMYK", False), _words("I;16", True), _words("RGBA", False)
    ('in printing colours (CMYK)', '16-bit grey (I;16)', 'with transparency (RGBA)')
    """
    if mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        return f"with transparency ({mode})"
    if mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        return f"in {'printing' if mode == 'CMYK' else 'other'} colours ({mode})"
    if mode.startswith("I"):
        return f"16-bit grey ({mode})"
    return f"{'grey' if is_grey else 'colour'} ({mode})"
