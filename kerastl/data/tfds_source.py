"""TensorFlow Datasets, read by random access and without TensorFlow."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from kerastl.data.decoding import decoded
from kerastl.data.items import SourceData
from kerastl.data.resizing import ImageSettings
from kerastl.data.specs import DataSpec, tfds_name
from kerastl.errors import unknown_name

_SPLIT_NAMES = {
    "train": ("train",),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test",),
}

_LABELS_AT_ONCE = 256


class RecordItems:
    """The records of one split.

    Args:
        records: Undecoded, by number.
        about: Folder of the set and name of the split.
        image_key: Name of the feature that is the image.
        label_key: Name of the feature that is its class.

    Attributes:
        labels: Class of each image, int64, `(images,)`.
    """

    def __init__(self, records: Any, about: str, *, image_key: str, label_key: str) -> None:
        self._records = records
        self._about = about
        self._image_key = image_key
        labels: list[int] = []
        for start in range(0, len(records), _LABELS_AT_ONCE):
            numbers = list(range(start, min(start + _LABELS_AT_ONCE, len(records))))
            labels += [int(record[label_key]) for record in records.__getitems__(numbers)]
        self.labels = np.array(labels, dtype=np.int64)

    @property
    def can_fork(self) -> bool:
        """No: array_record reads in threads, which a forked process lacks."""
        return False

    def image(self, index: int, settings: ImageSettings) -> Image.Image:
        """The image at `index`, of mode "RGB", no smaller than the settings need it."""
        content = bytes(self._records[index][self._image_key])
        return decoded(content, background=settings.background, settings=settings)

    def name(self, index: int) -> str:
        """The set, the split and the number of the record."""
        return f"{self._about} record {index}"

    def key(self, index: int) -> str:
        """The number of the record: prepared sets keep their order."""
        return str(index)

    def digest(self, index: int) -> str:
        """None is taken: a prepared set is not changed in place."""
        return ""

    def read_digest(self, index: int) -> str:
        """None is taken."""
        return ""

    def content(self, index: int) -> str:
        """Which split of which prepared set it is."""
        return self._about

    def fingerprint(self, indices: np.ndarray) -> str:
        """Which split of which prepared set it is; sets are not changed in place."""
        return self._about


def read_source(spec: DataSpec) -> SourceData:
    """The images of a set; prepares it first if need be and TensorFlow is there.

    The set is looked for where TensorFlow Datasets keeps its sets, or in the
    folder that the environment variable TFDS_DATA_DIR names.

    Args:
        spec: A `tfds` spec.

    Returns:
        The set's own parts; a set with one split only has it as "train".

    Raises:
        UnknownNameError: If no set has that name.
        ValueError: If the set cannot be prepared or has no images with labels.
    """
    builder = _builder(spec)
    if not (builder.data_path / "dataset_info.json").exists():
        _prepare(builder, spec)
    image_key, label_key = _image_and_label(builder.info, spec)
    decoders = _undecoded_images(builder.info.features)
    parts: dict[str, RecordItems] = {}
    for part, split in _splits(tuple(builder.info.splits), spec).items():
        try:
            records = builder.as_data_source(split, decoders=decoders)
        except NotImplementedError as error:
            raise ValueError(
                f"The set {str(spec)!r} must be stored as array_record to be read. Received: "
                f"{builder.info.file_format.value} in {os.fspath(builder.data_path)!r}. "
                f"Prepare it again: tfds build {spec.name} --file_format=array_record"
            ) from error
        about = f"{os.fspath(builder.data_path)} {split}"
        items = RecordItems(records, about, image_key=image_key, label_key=label_key)
        # Contests publish test images whose labels are all -1.
        if part == "train" or (items.labels >= 0).all():
            parts[part] = items
    return SourceData(parts=parts, class_names=tuple(builder.info.features[label_key].names))


def _builder(spec: DataSpec) -> Any:
    import tensorflow_datasets as tfds

    data_dir = os.environ.get("TFDS_DATA_DIR")
    known = tfds.list_builders(with_community_datasets=False)
    try:
        if not spec.name.isidentifier():
            raise tfds.core.DatasetNotFoundError(spec.name)
        return tfds.builder(tfds_name(spec), **({"data_dir": data_dir} if data_dir else {}))
    except tfds.core.DatasetNotFoundError as error:
        raise unknown_name(
            "tfds set",
            tfds_name(spec),
            known,
            how_to_list="All sets: https://www.tensorflow.org/datasets/catalog/overview.",
        ) from error
    except (AssertionError, ValueError) as error:
        configs = tfds.builder_cls(spec.name).builder_configs
        version = tfds.builder_cls(spec.name).VERSION
        listing = ", ".join(configs) or f"none; its version is {version}"
        raise unknown_name(
            f"configuration or version of 'tfds:{spec.name}'",
            spec.config,
            configs,
            how_to_list=f"Configurations: {listing}.",
        ) from error


def _prepare(builder: Any, spec: DataSpec) -> None:
    missing = [name for name in ("tensorflow", "importlib_resources") if not _is_installed(name)]
    if missing:
        raise ValueError(
            f"The set {str(spec)!r} is not prepared in {os.fspath(builder.data_path)!r}, and "
            f"preparing it takes {' and '.join(missing)} (reading it does not). "
            'Run: pip install "kerastl[tensorflow]"'
        )
    try:
        builder.download_and_prepare(file_format="array_record")
    except Exception as error:  # the network, the disk and the set's own code all fail here
        reason = str(error).strip().splitlines()
        raise ValueError(
            f"The set {str(spec)!r} could not be downloaded and prepared in "
            f"{os.fspath(builder.data_path)!r}. "
            f"Reason: {type(error).__name__}: {reason[0] if reason else 'not given'}. "
            "Mend it, or prepare the set on another machine and copy the folder here."
        ) from error


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # imported in a way that left no spec behind
        return True


def _image_and_label(info: Any, spec: DataSpec) -> tuple[str, str]:
    """The names of the features that hold the image and its class."""
    from tensorflow_datasets import features

    found: list[str] = []
    supervised = info.supervised_keys if isinstance(info.supervised_keys, tuple) else ()
    by_name = dict(info.features.items()) if hasattr(info.features, "items") else {}
    for kind, usual in ((features.Image, "image"), (features.ClassLabel, "label")):
        names = sorted(name for name, feature in by_name.items() if isinstance(feature, kind))
        preferred = [name for name in (*supervised, usual) if name in names]
        if not names or (not preferred and len(names) > 1):
            what = "an image" if kind is features.Image else "a class label"
            count = "no such feature" if not names else f"several, {', '.join(names)}"
            raise ValueError(
                f"The set {str(spec)!r} must have one feature that is {what}. "
                f"Received: {count} among {', '.join(sorted(by_name)) or info.features}. "
                "Choose a set for image classification."
            )
        found.append((preferred or names)[0])
    return found[0], found[1]


def _undecoded_images(by_name: Mapping[str, Any]) -> dict[str, Any]:
    """Decoders that leave every image encoded: Pillow decodes the one that is wanted."""
    import tensorflow_datasets as tfds

    return {
        name: tfds.decode.SkipDecoding()
        for name, feature in by_name.items()
        if isinstance(feature, tfds.features.Image)
    }


def _splits(names: Sequence[str], spec: DataSpec) -> dict[str, str]:
    """The set's split for each part."""
    if len(names) == 1:
        return {"train": names[0]}
    found = {
        part: name
        for part, candidates in _SPLIT_NAMES.items()
        for name in [next((name for name in candidates if name in names), None)]
        if name is not None
    }
    if "train" not in found:
        raise ValueError(
            f"The set {str(spec)!r} must have a split named train, or one split only. "
            f"Received: {', '.join(names) or 'no splits'}."
        )
    return found
