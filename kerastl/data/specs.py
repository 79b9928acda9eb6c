"""Data specs, and the registry of sources that they name; imports nothing heavy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

from kerastl.data.tasks import CLASSIFICATION, TASKS
from kerastl.errors import unknown_name


@dataclass(frozen=True)
class DataSource:
    """One kind of data that a spec can name.

    Attributes:
        name: The word before the colon.
        form: The whole spec, as a pattern.
        description: What it reads, in one sentence.
        module: The module whose `read_source(spec)` gives the images.
        suggested_image_size: Height and width that suit the images, pixels,
            or None where the backbone decides.
        in_memory: Whether the images are decoded already, so that worker
            processes would cost more than they save.
        tasks: What its labels can be.
    """

    name: str
    form: str
    description: str
    module: str
    suggested_image_size: int | None = None
    in_memory: bool = False
    tasks: tuple[str, ...] = (CLASSIFICATION,)


@dataclass(frozen=True)
class DataSpec:
    """A data spec in its pieces.

    Attributes:
        source: Name of the source.
        name: Folder, file or data set; empty for a source that is one data set.
        config: Configuration or version of the data set, or the options after
            a `?`; empty if none.
    """

    source: str
    name: str = ""
    config: str = ""

    def __str__(self) -> str:
        if self.source in _WITH_OPTIONS and self.config:
            return f"{self.source}:{self.name}?{self.config}"
        return ":".join(piece for piece in (self.source, self.name, self.config) if piece)


_SOURCES = {
    source.name: source
    for source in (
        DataSource(
            "digits",
            "digits",
            "scikit-learn's 1,797 handwritten digits of 8x8 pixels, always at hand.",
            "kerastl.data.digits",
            suggested_image_size=64,
            in_memory=True,
        ),
        DataSource(
            "folder",
            "folder:PATH",
            "A folder with one subfolder of images per class, or train/, val/ and test/ of such.",
            "kerastl.data.folders",
        ),
        DataSource(
            "csv",
            "csv:FILE[?path=COLUMN&label=COLUMN&split=COLUMN&group=COLUMN&separator=TEXT]",
            "A table of image files and their labels; several with labels=A,B,..., or numbers.",
            "kerastl.data.csv_source",
            tasks=TASKS,
        ),
        DataSource(
            "tfds",
            "tfds:NAME[:CONFIG]",
            "A TensorFlow Datasets set with images and labels, read without TensorFlow.",
            "kerastl.data.tfds_source",
        ),
        DataSource(
            "hf",
            "hf:NAME|FOLDER[?image=COLUMN&label=COLUMN&train=SPLIT&test=SPLIT&config=NAME]",
            "A set of the library `datasets`: saved, as parquet files or images, or by its name.",
            "kerastl.data.hf_source",
        ),
        DataSource(
            "wds",
            "wds:PATTERN[?label=ENDING&image=ENDING&validation=PATTERN&test=PATTERN]",
            "Shards as webdataset writes them, such as wds:shards/train-{000..099}.tar.",
            "kerastl.data.wds_source",
        ),
    )
}

# Sources whose specs may go on with `?` and options.
_WITH_OPTIONS = ("csv", "hf", "wds")

_VERSION = re.compile(r"\d+\.\d+\.\d+")


def list_data_sources() -> tuple[DataSource, ...]:
    """Every source that a data spec can name, by name.

    Example:

    >>> [source.name for source in list_data_sources()]
    ['digits', 'folder', 'csv', 'tfds', 'hf', 'wds']
    """
    return tuple(_SOURCES.values())


def data_source(name: str) -> DataSource:
    """The source of that name.

    Raises:
        UnknownNameError: If there is none; lists all.
    """
    if name not in _SOURCES:
        forms = ", ".join(source.form for source in _SOURCES.values())
        raise unknown_name("data source", name, _SOURCES, how_to_list=f"Data specs: {forms}.")
    return _SOURCES[name]


def parse_data_spec(spec: str) -> DataSpec:
    """A data spec, taken apart; nothing is opened.

    Args:
        spec: In a form that `list_data_sources` gives.

    Returns:
        The pieces. The path of a folder is kept as it was written.

    Raises:
        TypeError: If `spec` is not a string.
        ValueError: If the folder or the data set is missing from the spec.
        UnknownNameError: If the spec names no known source.

    Example:

    >>> parse_data_spec("tfds:cifar10_corrupted:fog_3")
    DataSpec(source='tfds', name='cifar10_corrupted', config='fog_3')
    """
    if not isinstance(spec, str):
        raise TypeError(
            "`spec` must be a string such as 'folder:PATH', or a pair (images, labels) of arrays. "
            f"Received: spec of type {type(spec).__name__}."
        )
    name, _, rest = spec.partition(":")
    if spec and name not in _SOURCES and Path(spec).is_dir():
        raise ValueError(
            f"`spec` must name a source. Received: spec={spec!r}. "
            f"That is a folder: write 'folder:{spec}'."
        )
    source = data_source(name)
    if source.form == name:
        if rest:
            raise ValueError(f"`spec` must be just {name!r}. Received: spec={spec!r}.")
        return DataSpec(name)
    if not rest:
        raise ValueError(f"`spec` must have the form '{source.form}'. Received: spec={spec!r}.")
    if name == "folder":
        return DataSpec(name, rest)
    if name in _WITH_OPTIONS:
        file, _, options = rest.partition("?")
        return DataSpec(name, file, options)
    data_set, _, config = rest.replace("/", ":", 1).partition(":")
    return DataSpec(name, data_set, config)


def options_of(spec: DataSpec, known: Sequence[str], *, what: str) -> dict[str, str]:
    """What a spec says after its `?`, by name.

    Args:
        spec: A spec with options.
        known: Every name that it may have.
        what: What such a name stands for, as an error says it.

    Raises:
        UnknownNameError: If it has another.

    Example:

    >>> options_of(parse_data_spec("wds:a.tar?label=txt"), ("label",), what="option")
    {'label': 'txt'}
    """
    given = dict(parse_qsl(spec.config, keep_blank_values=True))
    for name in given:
        if name not in known:
            kind = f"{'an' if spec.source == 'hf' else 'a'} {spec.source} spec"
            listing = f"A{kind[1:]} may say {', '.join(known)}."
            raise unknown_name(f"{what} of {kind}", name, known, how_to_list=listing)
    return given


def tfds_name(spec: DataSpec) -> str:
    """The name of a `tfds` spec as TensorFlow Datasets writes it.

    Example:

    >>> tfds_name(DataSpec("tfds", "mnist", "3.0.1"))
    'mnist:3.0.1'
    >>> tfds_name(DataSpec("tfds", "cifar10_corrupted", "fog_3"))
    'cifar10_corrupted/fog_3'
    """
    if not spec.config:
        return spec.name
    separator = ":" if _VERSION.fullmatch(spec.config) else "/"
    return f"{spec.name}{separator}{spec.config}"


def suggested_image_size(spec: str) -> int | None:
    """Height and width that suit the data, pixels, or None where the backbone decides.

    Example:

    >>> suggested_image_size("digits")
    64
    """
    return data_source(parse_data_spec(spec).source).suggested_image_size
