"""A small set of TensorFlow Datasets, written as `tfds build` would; without TensorFlow."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core import dataset_info, example_serializer, file_adapters, naming, splits
from tensorflow_datasets.core.utils.version import Version

IMAGE = tfds.features.Image(shape=(None, None, 3))
LABEL = tfds.features.ClassLabel(names=["cat", "dog"])


def pixels(number: int) -> np.ndarray:
    generator = np.random.default_rng(number)
    return generator.integers(0, 256, (6, 6, 3), dtype=np.uint8)


def png(number: int) -> io.BytesIO:
    file = io.BytesIO()
    Image.fromarray(pixels(number)).save(file, "PNG")
    file.seek(0)
    return file


def prepare(
    root: Path,
    sizes: dict[str, int],
    *,
    name: str = "tiny_pets",
    features: dict[str, Any] | None = None,
    file_format: str = "array_record",
    hidden_labels: tuple[str, ...] = (),
) -> None:
    """Writes a set as `tfds build` would, with images 0, 1, ... labelled by turns."""
    features = {"image": IMAGE, "label": LABEL} if features is None else features
    folder = root / name / "1.0.0"
    folder.mkdir(parents=True)
    connector = tfds.features.FeaturesDict(features)
    serializer = example_serializer.ExampleSerializer(connector.get_serialized_info())
    infos = []
    for split, size in sizes.items():
        template = naming.ShardedFileTemplate(
            data_dir=folder, dataset_name=name, split=split, filetype_suffix=file_format
        )
        records = []
        for number in range(size):
            label = -1 if split in hidden_labels else number % 2
            values = {"image": png(number), "label": label, "animal": label, "text": "x"}
            example = connector.encode_example({key: values[key] for key in features})
            records.append(serializer.serialize_example(example))
        if file_format == "array_record":
            path = template.sharded_filepath(shard_index=0, num_shards=1)
            file_adapters.ArrayRecordFileAdapter.write_examples(path, enumerate(records))
        infos.append(
            splits.SplitInfo(
                name=split, shard_lengths=[size], num_bytes=1, filename_template=template
            )
        )
    identity = dataset_info.DatasetIdentity(
        name=name, version=Version("1.0.0"), data_dir=os.fspath(folder), module_name="tests"
    )
    info = dataset_info.DatasetInfo(builder=identity, features=connector)
    info.set_file_format(file_adapters.FileFormat(file_format))
    info.set_splits(splits.SplitDict(infos))
    info.write_to_directory(folder)
