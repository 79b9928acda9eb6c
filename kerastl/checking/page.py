"""What a check has found as one HTML page, with the pictures side by side."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kerastl.checking.finding import KINDS, Finding, FoundImage, Kind
from kerastl.checking.writing import common_folder, count_rows, short_spec
from kerastl.data.decoding import quiet_decoding
from kerastl.data.resizing import ImageSettings
from kerastl.data.tasks import REGRESSION
from kerastl.internals.versions import __version__
from kerastl.internals.whole_files import write_whole
from kerastl.pages.environment import environment
from kerastl.pages.pictures import SIDE, fitted

if TYPE_CHECKING:
    from kerastl.checking.check import DataCheck

GENERATOR = f"kerastl {__version__}, check"
_MARK = 'name="generator" content="kerastl '
_MOST_FINDINGS, _MOST_IMAGES = 24, 6
_MOST_LISTED = 500
_SETTINGS = ImageSettings(SIDE, "pad")


@dataclass(frozen=True)
class Pictured:
    """An image in the page.

    Attributes:
        about: What is known of it.
        name: Its path below the folder of all.
        picture: A data URI; "" where it cannot be shown.
    """

    about: FoundImage
    name: str
    picture: str


@dataclass(frozen=True)
class Shown:
    """A finding with its pictures.

    Attributes:
        detail: What was found.
        images: Some of its images.
        more: How many there are beside these.
    """

    detail: str
    images: Sequence[Pictured]
    more: int


@dataclass(frozen=True)
class Section:
    """What was found of one kind.

    Attributes:
        kind: The kind.
        count: How many findings.
        shown: The worst of them, with pictures.
        listed: Detail and names of those after them.
        unlisted: How many there are beside all these.
    """

    kind: Kind
    count: int
    shown: Sequence[Shown]
    listed: Sequence[tuple[str, str]]
    unlisted: int

    @property
    def anchor(self) -> str:
        """Its place in the page."""
        return self.kind.name.replace(" ", "-")

    @property
    def shows_many(self) -> bool:
        """Whether its findings are wider than one picture: several of them, or words alone."""
        return any(len(each.images) != 1 for each in self.shown)


def page(found: DataCheck) -> str:
    """The HTML, which needs nothing beside it."""
    folder = common_folder(found)
    sections = [
        _section(found, kind, cases, folder) for kind in KINDS if (cases := found.of(kind.name))
    ]
    template = environment("kerastl.checking", autoescape=True).get_template("check.html.jinja")
    counts = found.class_counts
    return template.render(
        found=found,
        title=short_spec(found.spec),
        generator=GENERATOR,
        version=__version__,
        sections=sections,
        rows=list(count_rows(found)),
        classes=[]
        if found.task == REGRESSION
        else list(zip(found.class_names, counts.T.tolist(), strict=True)),
        seconds=sum(found.seconds.values()),
    )


def write_page(found: DataCheck, path: Path) -> None:
    """Write the page.

    Raises:
        ValueError: If the path holds something that no check wrote.
    """
    check_page_path(path)
    # Names of files need not be text that can be encoded.
    content = page(found).encode("utf-8", "replace")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda file: file.write_bytes(content))


def check_page_path(path: Path) -> None:
    """Refuse a place for the page that holds something else, before any work is done.

    Raises:
        ValueError: If so.
    """
    if not path.exists():
        return
    if path.is_file():
        with path.open(encoding="utf-8", errors="replace") as file:
            start = file.read(2000)
        if _MARK in start and ', check">' in start:
            return
    raise ValueError(
        f"The page must be a new file, or one that a check wrote. Received: {path}, which is there "
        "already. Name another by --output, or remove it."
    )


def _section(found: DataCheck, kind: Kind, cases: Sequence[Finding], folder: str) -> Section:
    shown = [_shown(found, each, folder) for each in cases[:_MOST_FINDINGS]]
    after = cases[_MOST_FINDINGS : _MOST_FINDINGS + _MOST_LISTED]
    listed = [
        (each.detail, ", ".join(_below(image.name, folder) for image in each.images[:_MOST_IMAGES]))
        for each in after
    ]
    return Section(kind, len(cases), shown, listed, len(cases) - len(shown) - len(listed))


def _shown(found: DataCheck, finding: Finding, folder: str) -> Shown:
    some = finding.images[:_MOST_IMAGES]
    pictured = [
        Pictured(image, _below(image.name, folder), _picture(found, image.number)) for image in some
    ]
    return Shown(finding.detail, pictured, len(finding.images) - len(some))


def _picture(found: DataCheck, number: int) -> str:
    try:
        with quiet_decoding():
            return fitted(found.inventory.image(number, _SETTINGS))
    except Exception:  # a broken file, which Pillow's decoders raise almost anything on
        return ""


def _below(name: str, folder: str) -> str:
    if not folder:  # a record: its set's name and number, without the folder that it is in
        return name.rpartition("/")[2]
    return Path(os.path.relpath(name, folder)).as_posix()
