"""Folders and files that programs leave beside images, and why none of them is one."""

from __future__ import annotations

from collections.abc import Collection

from kerastl.data.formats import (
    HEIF_HINT,
    HEIF_SUFFIXES,
    IMAGE_SUFFIXES,
    RAW_SUFFIXES,
    suffix_of,
)
from kerastl.data.part_names import words_of

HIDDEN = "hidden"
OF_PROGRAMS = "file or folder of a file server, an archive or a photo program"
THUMBNAILS = "folder of thumbnails"
MASKS = "folder of masks or notes beside images/"
NAMED_AS_IMAGE = "folder named as an image"
NOT_REGULAR = "neither file nor folder"
DANGLING = "link to nothing"
ROUND_LINK = "link to a folder that is read already"
CLOSED = "folder that cannot be opened"
HEIF = f"HEIC image, {HEIF_HINT}"
RAW = "raw file of a camera, to be saved as JPEG or PNG"
NO_IMAGE = "file that is no image"

UNREAD_IMAGES = (HEIF, RAW)
"""Reasons that leave out what its owner would call an image."""

_PROGRAM_FOLDERS = frozenset(
    (
        *("__macosx", "@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot"),
        *("@__thumb", "@tmp", "$recycle.bin", "system volume information", "lost+found"),
        *("network trash folder", "temporary items", "_gsdata_", "_vti_cnf", "__pycache__"),
        *("recycler", "~snapshot"),
    )
)
_PROGRAM_FOLDER_ENDS = (".lrdata", ".photoslibrary", ".lrlibrary", ".aplibrary", ".cocatalog")
_PROGRAM_FILES = frozenset(
    (
        *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "picasa.ini", "icon\r"),
        *("zbthumbnail.info", "folder.ini", "albumart.ini", "thumbnails-digikam.db"),
    )
)
_THUMBNAIL_FOLDERS = frozenset(("thumbnails", "thumbnail", "thumbs", "_thumbs", "_thumbnails"))
_MASK_FOLDERS = frozenset(
    (
        *("mask", "masks", "annotation", "annotations", "label", "labels", "bbox", "bboxes"),
        *("segmentation", "segmentations", "ground_truth", "groundtruth", "gt", "xml", "json"),
    )
)
_IMAGE_FOLDERS = frozenset(("image", "images", "img", "imgs", "jpegimages"))


def why_no_folder(name: str) -> str | None:
    """Why a folder is none of the user's own, or None.

    Args:
        name: Its name.

    Example:

    >>> why_no_folder("@eaDir"), why_no_folder(".ipynb_checkpoints"), why_no_folder("cat")
    ('file or folder of a file server, an archive or a photo program', 'hidden', None)
    """
    small = name.casefold()
    if name.startswith("."):
        return HIDDEN
    if small in _PROGRAM_FOLDERS or small.endswith(_PROGRAM_FOLDER_ENDS):
        return OF_PROGRAMS
    return None


def why_no_class(name: str) -> str | None:
    """Why a folder among classes is none, or None; one of thumbs may be of hands."""
    if name.casefold() in ("thumbnails", "thumbnail", "_thumbs", "_thumbnails"):
        return THUMBNAILS
    return why_no_folder(name)


def why_not_in_class(name: str, beside: Collection[str]) -> str | None:
    """Why a folder within a class holds none of its images, or None.

    Args:
        name: Its name.
        beside: The names of all folders there.
    """
    small = name.casefold()
    if small in _THUMBNAIL_FOLDERS:
        return THUMBNAILS
    if says_masks(name) and any(other.casefold() in _IMAGE_FOLDERS for other in beside):
        return MASKS
    if suffix_of(name) in IMAGE_SUFFIXES:
        return NAMED_AS_IMAGE
    return why_no_folder(name)


def says_masks(name: str) -> bool:
    """Whether a name is one of masks or notes, or ends in such a word.

    Example:

    >>> says_masks("lung masks"), says_masks("Ground_Truth"), says_masks("masked singer")
    (True, True, False)
    """
    words = words_of(name)
    return name.casefold() in _MASK_FOLDERS or any(
        ending in _MASK_FOLDERS for ending in (" ".join(words[-1:]), "_".join(words[-2:]))
    )


def why_no_file(name: str) -> str | None:
    """Why a file is none of the user's own, or None.

    Args:
        name: Its name.
    """
    if name.casefold() in _PROGRAM_FILES:
        return OF_PROGRAMS
    return HIDDEN if name.startswith(".") else None


def why_no_image(name: str) -> str:
    """Why a file that cannot be read as an image is left out."""
    suffix = suffix_of(name)
    if suffix in HEIF_SUFFIXES:
        return HEIF
    return RAW if suffix in RAW_SUFFIXES else NO_IMAGE
