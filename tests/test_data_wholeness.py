"""Files of which a part is missing, blank or another's are errors; odd but sound ones are not."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.broken.__main__ import cut_in_every_way, false_alarms
from benchmarks.broken.pictures import drawing, photograph
from benchmarks.broken.variants import saved
from kerastl.data.decoding import decoded
from kerastl.data.jpeg_layout import jpeg_layout
from kerastl.data.raw_pixels import zero_run
from kerastl.data.resizing import ImageSettings

PHOTOGRAPH, ANOTHER = photograph(0, 200, 150), photograph(1, 200, 150)
END_OF_JPEG = b"\xff\xd9"

JPEGS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "optimised": {"optimize": True},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3},
    "restarts by row": {"restart_marker_rows": 1},
    "progressive restarts": {"progressive": True, "restart_marker_rows": 2},
}
MODES = ("RGB", "L", "CMYK")


def jpeg(kind: str, mode: str = "RGB", picture: Image.Image = PHOTOGRAPH) -> bytes:
    return saved(picture.convert(mode), "JPEG", quality=85, **JPEGS[kind])


def pillows(content: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(content)).convert("RGB"))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", JPEGS)
def test_a_whole_jpeg_is_what_pillow_makes_of_it(kind: str, mode: str) -> None:
    content = jpeg(kind, mode)
    np.testing.assert_array_equal(np.array(decoded(content)), pillows(content))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.85, 0.97])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_cut_and_closed_is_found_wherever_it_was_cut(
    kind: str, mode: str, share: float
) -> None:
    content = jpeg(kind, mode)
    cut = content[: int(len(content) * share)] + END_OF_JPEG
    pillows(cut)  # for which it is sound
    for settings in (None, ImageSettings.checked(1)):
        with pytest.raises(OSError, match=r"truncated|damaged"):
            decoded(cut, settings=settings)


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_that_goes_on_as_another_one_is_found(kind: str) -> None:
    content, other = jpeg(kind), jpeg(kind, picture=ANOTHER)
    with pytest.raises(OSError, match=r"truncated|damaged|broken"):
        decoded(content[: len(content) // 2] + other[len(other) // 2 :])


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_with_zeros_in_its_middle_is_found(kind: str) -> None:
    content = jpeg(kind)
    start, stop = len(content) * 2 // 5, len(content) * 3 // 5
    with pytest.raises(OSError, match=r"truncated|damaged|broken"):
        decoded(content[:start] + bytes(stop - start) + content[stop:])


def test_a_progressive_jpeg_without_its_last_scan_is_found() -> None:
    content = jpeg("progressive")
    scans = jpeg_layout(content).scans
    for scan in scans[:-1]:
        with pytest.raises(OSError, match="the last scans of the picture are missing"):
            decoded(content[: scan.stop] + END_OF_JPEG)


def test_a_jpeg_that_misses_rows_between_two_restart_markers_is_found() -> None:
    content = jpeg("restarts by row")
    (scan,) = jpeg_layout(content).scans
    first, second = (content.index(b"\xff" + bytes((marker,)), scan.start) for marker in (210, 211))
    with pytest.raises(OSError, match="restart markers"):
        decoded(content[:first] + content[second:])


@pytest.mark.parametrize("rest", [b"\0" * 3000, bytes(range(256)) * 20, END_OF_JPEG, b"\xff"])
@pytest.mark.parametrize("kind", ["baseline", "progressive"])
def test_what_follows_the_end_of_a_jpeg_does_not_matter(kind: str, rest: bytes) -> None:
    content = jpeg(kind)
    np.testing.assert_array_equal(np.array(decoded(content + rest)), pillows(content))


# Cameras leave bytes between the picture and the marker of its end.
@pytest.mark.parametrize("between", [b"\0\0", b"\xff" * 7, b"\x12" * 20, b"\0" * 60])
def test_some_bytes_before_the_end_of_a_jpeg_do_not_matter(between: bytes) -> None:
    content = jpeg("baseline")
    found = decoded(content[:-2] + between + END_OF_JPEG)
    np.testing.assert_array_equal(np.array(found), pillows(content))


def test_a_jpeg_of_three_scans_that_is_not_progressive_is_whole_with_the_third() -> None:
    """Components one after the other, as some scanners write them (T.81, A.2)."""
    content = _apart(jpeg("baseline", "L"))
    np.testing.assert_array_equal(np.array(decoded(content)), pillows(content))
    scans = jpeg_layout(content).scans
    assert len(scans) == 3
    with pytest.raises(OSError, match="last scans"):
        decoded(content[: scans[1].stop] + END_OF_JPEG)


def _apart(grey: bytes) -> bytes:
    """A grey JPEG made one of three components, each in a scan of its own and the same."""
    (scan,) = jpeg_layout(grey).scans
    frame = grey.index(b"\xff\xc0")
    length = 2 + struct.unpack_from(">H", grey, frame + 2)[0]
    _, depth, height, width, _ = struct.unpack_from(">HBHHB", grey, frame + 2)
    components = b"".join(bytes((number, 0x11, 0)) for number in (1, 2, 3))
    new = b"\xff\xc0" + struct.pack(">HBHHB", 17, depth, height, width, 3) + components
    tables = grey[:frame] + new + grey[frame + length : grey.index(b"\xff\xda")]
    data = grey[scan.start : scan.stop]
    head = struct.Struct(">2sHBBBBBB")
    scans = (head.pack(b"\xff\xda", 8, 1, number, 0, 0, 63, 0) + data for number in (1, 2, 3))
    return tables + b"".join(scans) + END_OF_JPEG


def chunks(content: bytes) -> list[bytes]:
    """The chunks of a PNG."""
    found, start = [], 8
    while start < len(content):
        stop = start + 12 + int.from_bytes(content[start : start + 4], "big")
        found.append(content[start:stop])
        start = stop
    return found


def png(**options: Any) -> bytes:
    return saved(PHOTOGRAPH, "PNG", **options)


def test_a_png_whose_second_half_is_zeros_is_found() -> None:
    content = png()
    half = len(content) // 2
    with pytest.raises(OSError, match=r"the checksum of 'IDAT' is wrong|truncated"):
        decoded(content[:half] + bytes(len(content) - half))


@pytest.mark.parametrize("level", [0, 6])
def test_one_wrong_byte_of_a_png_is_found(level: int) -> None:
    content = bytearray(png(compress_level=level))
    content[len(content) // 2] ^= 4
    with pytest.raises(OSError, match="damaged"):
        decoded(bytes(content))


def test_a_png_without_its_last_chunk_is_found() -> None:
    with pytest.raises(OSError, match="truncated: its last chunk is missing"):
        decoded(png()[:-12])


def png_of(parts: list[tuple[bytes, bytes]]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )


@pytest.mark.parametrize("bits", [1, 4, 8, 16])
@pytest.mark.parametrize("value", [0, 255])
def test_a_png_whose_stream_ends_well_but_early_is_found(bits: int, value: int) -> None:
    width, height = 37, 30
    row = b"\0" + bytes((value,)) * -(-width * bits // 8)
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    for rows in (height, height - 1, height // 2):
        parts = [(b"IHDR", header), (b"IDAT", zlib.compress(row * rows)), (b"IEND", b"")]
        if rows == height:
            assert decoded(png_of(parts)).size == (width, height)
        elif rows < height - 1:
            with pytest.raises(OSError, match="truncated"):
                decoded(png_of(parts))


def test_a_png_that_lacks_a_chunk_of_data_is_found() -> None:
    content = png(compress_level=1)
    head, *rest = chunks(content)
    data = b"".join(chunk[8:-4] for chunk in rest if chunk[4:8] == b"IDAT")
    pieces = [data[start : start + 8192] for start in range(0, len(data), 8192)]
    del pieces[1]
    parts = [(b"IHDR", head[8:-4]), *((b"IDAT", each) for each in pieces), (b"IEND", b"")]
    with pytest.raises(OSError, match=r"truncated|broken"):
        decoded(png_of(parts))


@pytest.mark.parametrize("kind", ["BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.99])
def test_uncompressed_pixels_that_are_cut_are_found(
    tmp_path: Path, kind: str, share: float
) -> None:
    content = saved(PHOTOGRAPH, kind)
    path = tmp_path / "cut"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(OSError, match="truncated"):
        decoded(path)


@pytest.mark.parametrize("kind", ["BMP", "TIFF"])
@pytest.mark.parametrize(("start", "stop"), [(0.517, 1), (0.303, 0.613), (0.7131, 0.95)])
def test_uncompressed_pixels_that_were_blanked_are_found(
    tmp_path: Path, kind: str, start: float, stop: float
) -> None:
    content = saved(PHOTOGRAPH, kind)
    first, last = int(len(content) * start), int(len(content) * stop)
    path = tmp_path / "blank"
    path.write_bytes(content[:first] + bytes(last - first) + content[last:])
    with pytest.raises(OSError, match="a long stretch of them is zeros"):
        decoded(path)


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "PNG", "GIF", "WEBP", "JPEG"])
@pytest.mark.parametrize("number", range(8))
def test_plain_black_and_half_black_pictures_are_sound(kind: str, number: int) -> None:
    picture = drawing(number, 210, 160)
    assert decoded(saved(picture, kind)).size == (210, 160)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_a_tiff_that_ends_before_its_strips_is_found(compression: str) -> None:
    """The tables stand first and are whole; what they point to is not there."""
    content = bytearray(saved(PHOTOGRAPH, "TIFF", compression=compression))
    with Image.open(io.BytesIO(bytes(content))) as image:
        sizes = image.tag_v2[279]  # type: ignore[attr-defined]
    old = struct.pack("<I", sizes[-1]) if len(sizes) > 1 or sizes[0] > 65535 else None
    if old is None or old not in content:
        old = struct.pack("<H", sizes[-1])
    place = content.rindex(old)
    content[place : place + len(old)] = b"\xf0" * (len(old) - 1) + b"\x0f"
    with pytest.raises(OSError, match="truncated"):
        decoded(bytes(content))


def test_zeros_in_a_jpeg_within_a_tiff_are_found_and_plain_ones_are_sound() -> None:
    content = saved(PHOTOGRAPH, "TIFF", compression="jpeg")
    start, length = len(content) // 3, len(content) // 4
    with pytest.raises(OSError, match=r"truncated|damaged|broken"):
        decoded(content[:start] + bytes(length) + content[start + length :])
    plain = Image.new("RGB", (900, 700), (0, 0, 0))
    assert decoded(saved(plain, "TIFF", compression="jpeg")).size == (900, 700)


@pytest.mark.parametrize("options", [{}, {"lossless": True}])
@pytest.mark.parametrize("start", [0.3, 0.6])
def test_a_webp_with_zeros_in_it_is_found(options: dict[str, Any], start: float) -> None:
    content = saved(PHOTOGRAPH, "WEBP", **options)
    first = int(len(content) * start)
    blank = bytes(len(content) // 4)
    with pytest.raises(OSError, match="a long stretch of them is zeros"):
        decoded(content[:first] + blank + content[first + len(blank) :])


def test_a_gif_closed_after_half_of_its_blocks_is_found() -> None:
    content = saved(PHOTOGRAPH.convert("P"), "GIF", interlace=0)
    start = content.index(b",", 13 + 768) + 11  # image descriptor, size of the codes
    blocks = []
    while size := content[start]:
        blocks.append(content[start : start + 1 + size])
        start += 1 + size
    head = content[: start - sum(map(len, blocks))]
    with pytest.raises(OSError, match=r"truncated|broken|decod"):
        decoded(head + b"".join(blocks[: len(blocks) // 2]) + b"\0;")


@pytest.mark.parametrize("data", [b"", b"\0", bytes(127), b"a" + bytes(127), b"\0a" * 300])
def test_short_runs_of_zeros_are_none(data: bytes) -> None:
    assert zero_run(data, shortest=128) is None


@pytest.mark.parametrize("before", [0, 1, 63, 64, 65, 200])
@pytest.mark.parametrize("length", [128, 129, 500])
@pytest.mark.parametrize("after", [0, 1, 90])
def test_a_long_run_of_zeros_has_its_start_and_stop(before: int, length: int, after: int) -> None:
    data = b"\1" * before + bytes(length) + b"\1" * after
    assert zero_run(data, shortest=128) == (before, before + length)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 20])
def test_of_all_cuts_fewer_than_five_pass(tmp_path: Path, seed: int) -> None:
    cuts = cut_in_every_way(tmp_path, seed=seed)
    assert cuts.made > 150
    assert len(cuts.passed) < 5, cuts.passed


@pytest.mark.slow
def test_of_a_thousand_sound_files_none_is_refused(tmp_path: Path) -> None:
    alarms, kinds = false_alarms(tmp_path, 1000)
    assert sum(kinds.values()) == 1000
    assert len(kinds) > 40
    assert not alarms
