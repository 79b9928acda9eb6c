"""Which files are images: by suffix where that is known, else by content."""

from __future__ import annotations

import functools
import importlib.util
import os
import warnings

from PIL import Image

# Named, so that a file in disguise does not reach the decoders that run other programs (EPS),
# and so that no format without a signature of its own (TGA) is seen in what is no image.
_FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF", "JPEG2000"),
    *("PPM", "DIB", "ICO", "PCX", "QOI", "SGI"),
)

IMAGE_SUFFIXES = (
    *(".avif", ".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".mpo"),
    *(".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
)
"""Suffixes, in small letters, of files that are taken as images without a look at them."""

KNOWN_FORMATS = ", ".join(suffix.removeprefix(".") for suffix in IMAGE_SUFFIXES)

HEIF_SUFFIXES = (".heic", ".heif", ".hif")
_HEIF_MODULE = "pillow_heif"
HEIF_HINT = 'to be read with pip install "kerastl[heic]"'

RAW_SUFFIXES = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".nef", ".nrw", ".orf", ".pef"),
    *(".raf", ".raw", ".rw2", ".sr2", ".srf", ".srw", ".x3f"),
)
"""Files of cameras, in which Pillow would find a small preview at best."""

# Beside many images there are often as many of these: they are not looked at.
_NO_IMAGES = frozenset(
    (
        *(".cache", ".csv", ".db", ".doc", ".docx", ".geojson", ".gz", ".h5", ".hdf5"),
        *(".htm", ".html", ".ini", ".ipynb", ".json", ".jsonl", ".log", ".mat", ".md", ".npy"),
        *(".npz", ".parquet", ".pdf", ".pkl", ".pt", ".pth", ".py", ".rar", ".tar", ".tfrecord"),
        *(".tsv", ".txt", ".xls", ".xlsx", ".xml", ".xmp", ".yaml", ".yml", ".zip", ".7z"),
        *(".avi", ".m4v", ".mkv", ".mov", ".mp3", ".mp4", ".mpeg", ".mpg", ".wav", ".webm"),
        # Previews of cameras, backups, and downloads that did not end.
        *(".thm", ".bak", ".crdownload", ".download", ".part", ".tmp"),
    )
)


def suffix_of(name: str) -> str:
    """The suffix of a file's name in small letters, with its dot, or nothing.

    Example:

    >>> suffix_of("IMG_1.JPG"), suffix_of("photo"), suffix_of("v1. of cat")
    ('.jpg', '', '')
    """
    suffix = os.path.splitext(name)[1].lower()
    return suffix if suffix[1:].isalnum() else ""


def is_image(path: str | os.PathLike[str]) -> bool:
    """Whether a regular file is an image; it is opened only where its suffix does not tell.

    Args:
        path: The file.
    """
    name = os.path.basename(os.fspath(path))
    suffix = suffix_of(name)
    if suffix in IMAGE_SUFFIXES or (suffix in HEIF_SUFFIXES and reads_heif()):
        return True
    if suffix in RAW_SUFFIXES or suffix in _NO_IMAGES or name.endswith("~"):
        return False
    return _opens(path)


@functools.cache
def readable_formats() -> tuple[str, ...]:
    """The formats that are read, by Pillow's names: HEIF where `pillow-heif` is installed."""
    Image.init()
    if importlib.util.find_spec(_HEIF_MODULE):
        import pillow_heif

        pillow_heif.register_heif_opener()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def reads_heif() -> bool:
    """Whether images of the format HEIF can be read here."""
    return "HEIF" in readable_formats()


def _opens(path: str | os.PathLike[str]) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path, formats=readable_formats()):
                return True
        except Image.DecompressionBombError:
            return True
        except Exception:  # Pillow's readers raise almost anything on what is none of theirs
            return False
