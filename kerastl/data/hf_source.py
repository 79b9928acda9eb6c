"""Sets of the Hugging Face library `datasets`, by number from files mapped into memory: `hf:NAME`.

Images stay encoded and are decoded as files are. Code that comes with a set is never run:
versions of the library before 4 did so, and are refused.
"""

from __future__ import annotations

import glob
import hashlib
import importlib.util
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerastl.data.items import SourceData
from kerastl.data.part_names import part_of
from kerastl.data.spec_paths import is_local
from kerastl.data.specs import DataSpec, options_of
from kerastl.data.stored_items import StoredItems
from kerastl.data.text_classes import Named, numbered
from kerastl.data.understanding import Understanding
from kerastl.errors import unknown_name

_PARTS = ("train", "validation", "test")
_OPTIONS = ("config", "image", "label", "group", *_PARTS)
_IMAGE_NAMES = ("image", "img")
_LABEL_NAMES = ("label", "labels", "class")
_SAVED = ("state.json", "dataset_dict.json")
_FIRST_WITHOUT_CODE = 4
# Labels that are read together.
_AT_ONCE = 10_000


class ArrowRecords:
    """The images of one split.

    Args:
        rows: The split, a `datasets.Dataset` in the format "arrow", of the image column alone.
        about: The set and the name of the split.
        split: Name of the split.
    """

    def __init__(self, rows: Any, about: str, split: str) -> None:
        self._rows = rows
        self._about = about
        self._split = split

    def encoded(self, number: int) -> Path | bytes:
        """The content of an image file, or the file that the record names.

        Raises:
            OSError: If the record has neither.
        """
        content, path = self._content(number)
        if content is not None:
            return bytes(content.as_buffer())
        if path:
            return Path(path)
        raise OSError("the record has no image")

    def size(self, number: int) -> int:
        """Bytes of its content."""
        content, path = self._content(number)
        if content is not None:
            return int(content.as_buffer().size)
        return os.stat(path).st_size if path else 0

    def name(self, number: int) -> str:
        """The set, the split and the number of the record."""
        return f"{self._about} record {number}"

    def key(self, number: int) -> str:
        """The split and the number of the record in it."""
        return f"{self._split}/{number}"

    def fingerprint(self, numbers: np.ndarray) -> str:
        """A digest of path, size and time of change of the files that are mapped, or named."""
        files = [file["filename"] for file in self._rows.cache_files]
        content, path = self._content(int(numbers[0])) if len(numbers) else (None, "")
        if content is None and path:
            files += [self._content(int(number))[1] for number in numbers]
        digest = hashlib.blake2b(self._about.encode("utf-8", "surrogateescape"), digest_size=16)
        for file in files:
            try:
                about = os.stat(file)
                digest.update(os.fsencode(f"{file} {about.st_size} {about.st_mtime_ns}\n"))
            except OSError:
                digest.update(os.fsencode(f"{file} is gone\n"))
        return digest.hexdigest()

    def _content(self, number: int) -> tuple[Any, str]:
        """The bytes as pyarrow has them, not copied, or None; and the path, or ""."""
        cell = self._rows[number].column(0)[0]
        if not cell.is_valid:
            return None, ""
        if not hasattr(cell, "keys"):
            return cell, ""
        path = cell["path"].as_py() if "path" in cell else None
        return (cell["bytes"] if cell["bytes"].is_valid else None), path or ""


def read_source(spec: DataSpec) -> SourceData:
    """The images of a set; its labels are read, and no image is.

    Args:
        spec: An `hf` spec: a folder that `save_to_disk` has written, one of
            parquet files or of images, a pattern of parquet files, or the name
            of a set, which the library downloads first.

    Returns:
        The set's own splits; one that has only one has it as "train".

    Raises:
        ValueError: If the library is not there, the set cannot be had, or it
            has no images with labels.
        UnknownNameError: If the set lacks a split or column that the spec names.
    """
    given = options_of(spec, _OPTIONS, what="option")
    _check_library(spec)
    found = _loaded(spec, given.get("config"))
    splits = _splits(found, given, spec)
    first = next(iter(splits.values()))
    image = _image_column(found[first].features, given.get("image"), spec)
    label = _label_column(found[first].features, given.get("label"), spec, image)
    if "group" in given:
        _check_column(found[first].features, given["group"], spec)
    named: dict[str, Named] = {}
    for part, split in splits.items():
        names = _labels(found[split], label, f"The split {split!r} of {str(spec)!r}")
        # Contests publish test images whose labels are all -1.
        if part == "train" or _names_classes(names):
            named[part] = names
    labels, classes, remarks = numbered(named, repr(str(spec)))
    declared = getattr(found[first].features[label], "names", None)
    if declared:
        place = np.array([declared.index(name) for name in classes], np.int64)
        labels, classes = {part: place[own] for part, own in labels.items()}, tuple(declared)
    parts = {}
    for part in named:
        rows = found[splits[part]]
        records = ArrowRecords(
            rows.select_columns([image]).with_format("arrow"),
            f"{spec.name} {splits[part]}",
            splits[part],
        )
        groups = _text(rows, given["group"]) if "group" in given else None
        parts[part] = StoredItems(records, np.arange(len(labels[part])), labels[part], groups)
    origins = {part: f"the split {splits[part]!r}" for part in parts if len(found) > 1}
    return SourceData(parts, classes, Understanding(origins, warnings=tuple(remarks)))


def _check_library(spec: DataSpec) -> None:
    found = importlib.util.find_spec("datasets")
    # A folder of that name where Python was started is a module without a file.
    if found is None or found.origin is None:
        raise ValueError(
            f"{str(spec)!r} must be read by the library datasets. Received: none that is "
            'installed. Run: pip install "kerastl[hf]"'
        )
    import datasets

    if int(datasets.__version__.split(".")[0]) < _FIRST_WITHOUT_CODE:
        raise ValueError(
            f"The library datasets must be of version {_FIRST_WITHOUT_CODE} or later, which runs "
            f"no code of a set. Received: {datasets.__version__}. "
            'Run: pip install --upgrade "kerastl[hf]"'
        )


def _loaded(spec: DataSpec, config: str | None) -> Mapping[str, Any]:
    """Each split by its name."""
    import datasets

    path = Path(spec.name).expanduser()
    try:
        if any((path / name).is_file() for name in _SAVED):
            found = datasets.load_from_disk(str(path))
        elif path.is_dir():
            found = datasets.load_dataset(str(path.absolute()), config)
        elif is_local(spec.name):
            found = datasets.load_dataset("parquet", data_files=_parquet_files(path, spec))
        else:
            found = datasets.load_dataset(spec.name, config)
    except ConnectionError as error:
        raise ValueError(
            f"The set {str(spec)!r} must be in the library's cache, or the Hugging Face Hub within "
            f"reach. Received: {_first_line(error)}. Load it once with a network, or name a "
            "folder: hf:FOLDER."
        ) from error
    except Exception as error:  # the network, the disk and the set's own files all fail here
        if type(error) is ValueError and str(error).startswith("The set "):
            raise
        raise ValueError(
            f"The set {str(spec)!r} must be one that the library datasets can load. Received: "
            f"{type(error).__name__}: {_first_line(error)}. Mend it, or name another: "
            "hf:FOLDER or hf:NAME?config=NAME."
        ) from error
    if isinstance(found, datasets.Dataset):
        return {str(found.split or "train"): found}
    return {str(name): split for name, split in found.items()}


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].removesuffix(".") if lines else "no reason"


def _parquet_files(path: Path, spec: DataSpec) -> list[str]:
    files = sorted(glob.glob(str(path.absolute())))
    if not files or not all(file.endswith(".parquet") for file in files):
        what = f"a file {files[0]!r}" if files else "nothing of such a name"
        raise ValueError(
            f"The set {str(spec)!r} must be a folder, or parquet files. Received: {what}. "
            "Mend the path."
        )
    return files


def _splits(found: Mapping[str, Any], given: Mapping[str, str], spec: DataSpec) -> dict[str, str]:
    """The set's split for each part."""
    named = {part: given[part] for part in _PARTS if part in given}
    for split in named.values():
        if split not in found:
            listing = f"Splits of {str(spec)!r}: {', '.join(found)}."
            raise unknown_name("split", split, found, how_to_list=listing)
    free = [split for split in found if split not in named.values()]
    if len(found) == 1 and not named:
        return {"train": free[0]}
    splits = dict(named)
    for part in _PARTS:
        usual = [split for split in free if part_of(split) == part]
        if part not in splits and usual:
            splits[part] = part if part in usual else usual[0]
    if "train" not in splits:
        raise ValueError(
            f"The set {str(spec)!r} must have a split named train, or one split only. "
            f"Received: {', '.join(found)}. Name it: ?train=SPLIT."
        )
    return {part: splits[part] for part in _PARTS if part in splits}


def _check_column(features: Mapping[str, Any], name: str, spec: DataSpec) -> None:
    if name not in features:
        listing = f"Columns of {str(spec)!r}: {', '.join(features)}."
        raise unknown_name("column", name, features, how_to_list=listing)


def _image_column(features: Mapping[str, Any], given: str | None, spec: DataSpec) -> str:
    import datasets

    def is_encoded(feature: Any) -> bool:
        """Whether it is bytes, as parquet files of other programs have images."""
        inner = feature.get("bytes") if isinstance(feature, dict) else feature
        return getattr(inner, "dtype", "") in ("binary", "large_binary")

    images = [name for name, kind in features.items() if isinstance(kind, datasets.Image)]
    images = images or [name for name, kind in features.items() if is_encoded(kind)]
    if given is not None:
        _check_column(features, given, spec)
        if given in images or is_encoded(features[given]):
            return given
        raise ValueError(
            f"The column {given!r} of {str(spec)!r} must hold images. Received: {features[given]}. "
            f"Columns of images: {', '.join(images) or 'none'}."
        )
    usual = [name for name in _IMAGE_NAMES if name in images]
    return _only(usual[:1] or images, features, spec, what="an image", option="image")


def _label_column(
    features: Mapping[str, Any], given: str | None, spec: DataSpec, image: str
) -> str:
    import datasets

    def names_classes(feature: Any) -> bool:
        dtype = str(getattr(feature, "dtype", ""))
        return dtype.startswith(("int", "uint", "string", "large_string", "bool"))

    if given is not None:
        _check_column(features, given, spec)
        if names_classes(features[given]):
            return given
        raise ValueError(
            f"The column {given!r} of {str(spec)!r} must hold names or whole numbers. Received: "
            f"{features[given]}. Name another: ?label=COLUMN."
        )
    classes = [name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    usual = [name for name in _LABEL_NAMES if name in classes]
    if not classes:
        usual = [name for name in _LABEL_NAMES if names_classes(features.get(name))]
    return _only(usual[:1] or classes, features, spec, what="a class", option="label")


def _only(
    names: Sequence[str], features: Mapping[str, Any], spec: DataSpec, *, what: str, option: str
) -> str:
    if len(names) == 1:
        return names[0]
    several = f"several, {', '.join(names)}," if names else "none"
    raise ValueError(
        f"The set {str(spec)!r} must have one column that is {what}. Received: {several} among "
        f"{', '.join(features)}. Name it: ?{option}=COLUMN."
    )


def _labels(rows: Any, column: str, about: str) -> Named:
    """The names of the labels, "" among them where a record has none, and those of the records."""
    feature = rows.features[column]
    declared = getattr(feature, "names", None)
    number_of: dict[str, int] = {}
    numbers = np.empty(len(rows), np.int64)
    for start, values in _values(rows, column):
        for place, value in enumerate(values, start):
            if value is None or (declared and value < 0):
                name = ""
            else:
                name = declared[value] if declared else str(value)
            numbers[place] = number_of.setdefault(name, len(number_of))
    if not len(numbers):
        raise ValueError(f"{about} must hold images. Received: no records. Name another split.")
    return list(number_of), numbers


def _names_classes(names: Named) -> bool:
    return "" not in names[0]


def _text(rows: Any, column: str) -> np.ndarray:
    return np.array([str(value) for _, values in _values(rows, column) for value in values])


def _values(rows: Any, column: str) -> Any:
    """Number of the first record and values of some records at a time."""
    start = 0
    for table in rows.select_columns([column]).with_format("arrow").iter(_AT_ONCE):
        values = table.column(0).to_pylist()
        yield start, values
        start += len(values)
