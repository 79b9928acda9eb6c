"""Where the scans of a JPEG lie, and what they should hold."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import ceil

import numpy as np

_FIRST_RESTART, _RESTARTS = 0xD0, 8

_SOF_BASELINE, _SOF_EXTENDED, _SOF_PROGRESSIVE = 0xC0, 0xC1, 0xC2
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE = frozenset((0x01, *range(0xD0, 0xD9)))
_EOI, _SOS, _DRI = 0xD9, 0xDA, 0xDD

_COEFFICIENTS = 64

# Bytes of a scan that are looked at together.
_AT_A_TIME = 1 << 16


@dataclass(frozen=True)
class Component:
    """A channel as the frame declares it.

    Attributes:
        across: Horizontal sampling factor.
        down: Vertical sampling factor.
    """

    across: int
    down: int


@dataclass(frozen=True)
class Frame:
    """The picture as its header declares it.

    Attributes:
        marker: Which process: baseline, extended, progressive or another.
        width: Pixels.
        height: Pixels.
        components: By their number.
    """

    marker: int
    width: int
    height: int
    components: dict[int, Component]

    def units(self, scanned: tuple[int, ...]) -> int:
        """How many units (MCU, T.81 A.2) a scan of some components has."""
        most_across = max(each.across for each in self.components.values())
        most_down = max(each.down for each in self.components.values())
        if len(scanned) > 1:
            across, down = ceil(self.width / (8 * most_across)), ceil(self.height / (8 * most_down))
            return across * down
        one = self.components[scanned[0]]
        across = ceil(ceil(self.width * one.across / most_across) / 8)
        return across * ceil(ceil(self.height * one.down / most_down) / 8)


@dataclass(frozen=True)
class Scan:
    """One scan.

    Attributes:
        start: Where its entropy-coded data begin.
        stop: Where they end.
        components: Numbers of the components in it.
        first: First coefficient.
        last: Last coefficient.
        bit: The lowest bit of the coefficients that it brings.
        restart_interval: Units between restart markers, 0 for none.
        restarts: The restart markers in it, as numbers 0-7.
    """

    start: int
    stop: int
    components: tuple[int, ...]
    first: int
    last: int
    bit: int
    restart_interval: int
    restarts: np.ndarray


@dataclass(frozen=True)
class Layout:
    """Frame and scans.

    Attributes:
        frame: The picture as declared.
        scans: In order.
        has_end: Whether the marker of the end comes after them.
    """

    frame: Frame
    scans: tuple[Scan, ...]
    has_end: bool

    @property
    def is_checked(self) -> bool:
        """Whether it is of a kind whose data tell how far they go.

        Arithmetic coding leaves out zeros at its end, and lossless JPEG is not read.
        """
        return self.frame.marker in (_SOF_BASELINE, _SOF_EXTENDED, _SOF_PROGRESSIVE)

    @property
    def is_one_scan(self) -> bool:
        """Whether the pixels come out while the only scan is read."""
        return self.frame.marker != _SOF_PROGRESSIVE and (
            len(self.scans[0].components) == len(self.frame.components)
        )

    def missing_scans(self) -> bool:
        """Whether bits of coefficients are in none of the scans."""
        lowest = {each: [_COEFFICIENTS] * _COEFFICIENTS for each in self.frame.components}
        for scan in self.scans:
            for component in scan.components:
                for coefficient in range(scan.first, min(scan.last, _COEFFICIENTS - 1) + 1):
                    lowest[component][coefficient] = scan.bit
        return any(bit for bits in lowest.values() for bit in bits)

    def missing_restarts(self) -> bool:
        """Whether restart markers are not those, in number and order, that the frame asks for."""
        for scan in self.scans:
            if not scan.restart_interval:
                continue
            wanted = ceil(self.frame.units(scan.components) / scan.restart_interval) - 1
            count = len(scan.restarts)
            in_order = np.arange(count) % _RESTARTS
            # Some encoders close the last interval, too.
            if count not in (wanted, wanted + 1) or (scan.restarts != in_order).any():
                return True
        return False


def jpeg_layout(content: bytes) -> Layout:
    """Find frame and scans of the first picture in a JPEG file.

    Args:
        content: Of the file.

    Raises:
        OSError: If the file ends, or markers are broken, before the first scan.
    """
    frame: Frame | None = None
    scans: list[Scan] = []
    has_end, interval, position = False, 0, 2
    try:
        while not has_end:
            marker, position = _marker(content, position)
            if marker == _EOI:
                has_end = True
                continue
            if marker in _ALONE:
                continue
            (length,) = struct.unpack_from(">H", content, position)
            body = content[position + 2 : position + length]
            position += length
            if marker in _FRAMES:
                frame = frame or _frame(marker, body)
            elif marker == _DRI:
                (interval,) = struct.unpack_from(">H", body)
            elif marker == _SOS and frame is not None:
                stop, restarts = _end_of_scan(content, position)
                scans.append(_scan(body, position, stop, interval, restarts, frame))
                position = stop
    except (struct.error, IndexError, KeyError):
        has_end = False  # what follows the last scan is no JPEG any more
    if frame is None or not scans:
        raise OSError("image file is truncated: it ends before the data of the picture")
    return Layout(frame, tuple(scans), has_end)


def _marker(content: bytes, position: int) -> tuple[int, int]:
    """The marker at or after a place, and where it ends; decoders skip what is in between."""
    position = content.find(b"\xff", position)
    if position < 0:
        raise IndexError
    while content[position] == 0xFF:
        position += 1
    if content[position] == 0:
        return _marker(content, position)
    return content[position], position + 1


def _frame(marker: int, body: bytes) -> Frame:
    _, height, width, count = struct.unpack_from(">BHHB", body)
    components = {}
    for number in range(count):
        name, sampling = body[6 + 3 * number], body[7 + 3 * number]
        components[name] = Component(sampling >> 4, sampling & 15)
    return Frame(marker, width, height, components)


def _end_of_scan(content: bytes, start: int) -> tuple[int, np.ndarray]:
    """Where entropy-coded data end, and the numbers of the restart markers in them.

    Within them FF is followed by 00 or a restart marker (ITU-T T.81, B.1.1.2).
    """
    restarts = [np.empty(0, np.uint8)]
    while start < len(content):
        values = np.frombuffer(content, np.uint8)[start : start + _AT_A_TIME + 1]
        places = np.flatnonzero(values[:-1] == 0xFF)
        after = values[places + 1]
        is_restart = (after & 0xF8) == _FIRST_RESTART
        ends = np.flatnonzero(~is_restart & (after != 0) & (after != 0xFF))
        if len(ends):
            place = int(places[ends[0]])
            restarts.append(after[: ends[0]][is_restart[: ends[0]]])
            stop = start + place
            while content[stop - 1] == 0xFF:  # before a marker FF may be repeated
                stop -= 1
            return stop, np.concatenate(restarts) - _FIRST_RESTART
        restarts.append(after[is_restart])
        start += _AT_A_TIME
    return len(content), np.concatenate(restarts) - _FIRST_RESTART


def _scan(
    body: bytes, start: int, stop: int, interval: int, restarts: np.ndarray, frame: Frame
) -> Scan:
    count = body[0]
    names = tuple(body[1 + 2 * number] for number in range(count))
    first, last, bits = body[1 + 2 * count : 4 + 2 * count]
    for name in names:
        frame.components[name]
    if frame.marker != _SOF_PROGRESSIVE:
        first, last, bits = 0, _COEFFICIENTS - 1, 0
    return Scan(start, stop, names, first, last, bits & 15, interval, restarts)
