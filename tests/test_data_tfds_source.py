"""TensorFlow Datasets, prepared here without TensorFlow and read without it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tiny_tfds import IMAGE, LABEL, pixels, prepare

from kerastl.data import load_data
from kerastl.data import tfds_source as tfds_module
from kerastl.errors import UnknownNameError


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_prepared_set_is_read_with_its_own_parts(root: Path, num_workers: int) -> None:
    prepare(root, {"train": 10, "test": 4})
    data = load_data(
        "tfds:tiny_pets", image_size=6, resize="squash", num_workers=num_workers, batch_size=4
    )
    assert data.sizes == {"train": 8, "validation": 2, "test": 4}
    assert data.class_names == ("cat", "dog")
    assert data.test is not None
    for _ in range(2):
        images, labels = next(iter(data.test))
        assert labels.tolist() == [0, 1, 0, 1]
        for number, image in enumerate(images.numpy()):
            np.testing.assert_array_equal(image, pixels(number))


@pytest.mark.slow
def test_reading_never_imports_tensorflow(root: Path) -> None:
    prepare(root, {"train": 10})
    code = (
        "import sys; from kerastl.data import load_data;"
        "data = load_data('tfds:tiny_pets:1.0.0', image_size=6, num_workers=0);"
        "print(len(next(iter(data.train))[0]), 'tensorflow' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "6 False", result.stderr


def test_a_set_with_one_split_is_split_whatever_its_name(root: Path) -> None:
    prepare(root, {"test": 10})
    sizes = load_data("tfds:tiny_pets", image_size=6, num_workers=0).sizes
    assert sizes == {"train": 6, "validation": 2, "test": 2}


def test_a_test_split_without_labels_is_not_used(root: Path) -> None:
    prepare(root, {"train": 10, "test": 4}, hidden_labels=("test",))
    sizes = load_data("tfds:tiny_pets", image_size=6, num_workers=0).sizes
    assert sizes == {"train": 6, "validation": 2, "test": 2}


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"text": tfds.features.Text(), "label": LABEL}, "an image. Received: no such feature"),
        ({"image": IMAGE, "text": tfds.features.Text()}, "a class label. Received: no such"),
        (
            {"image": IMAGE, "animal": LABEL, "text": LABEL},
            "a class label. Received: several, animal, text",
        ),
    ],
)
def test_a_set_of_another_kind_is_an_error(
    root: Path, features: dict[str, Any], message: str
) -> None:
    prepare(root, {"train": 0}, features=features)
    with pytest.raises(ValueError, match=message):
        load_data("tfds:tiny_pets")


def test_splits_without_train_are_an_error(root: Path) -> None:
    prepare(root, {"north": 4, "south": 4})
    with pytest.raises(ValueError, match=r"split named train.*Received: north, south"):
        load_data("tfds:tiny_pets")


def test_a_set_stored_for_tensorflow_says_how_to_store_it_again(root: Path) -> None:
    prepare(root, {"train": 4}, file_format="tfrecord")
    with pytest.raises(ValueError, match="Prepare it again: tfds build tiny_pets --file_format"):
        load_data("tfds:tiny_pets")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("tfds:mnits", "Unknown tfds set 'mnits'. Did you mean 'mnist'"),
        ("tfds:not a name", "Unknown tfds set 'not a name'"),
        ("tfds:cifar10_corrupted:fog_9", "'fog_9'. Did you mean 'fog_5'"),
        ("tfds:mnist:9.9.9", "its version is 3"),
    ],
)
def test_an_unknown_set_or_configuration_is_named(root: Path, spec: str, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        load_data(spec)


def test_without_tensorflow_an_unprepared_set_names_the_extra(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tfds_module, "_is_installed", lambda name: name != "tensorflow")
    with pytest.raises(
        ValueError, match=r'takes tensorflow \(.*pip install "kerastl\[tensorflow\]'
    ):
        load_data("tfds:mnist")


def test_a_failed_download_says_why(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any, **options: Any) -> None:
        assert options == {"file_format": "array_record"}
        raise ConnectionError("no route to host\nand much more")

    monkeypatch.setattr(tfds_module, "_is_installed", lambda name: True)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    with pytest.raises(ValueError, match=r"Reason: ConnectionError: no route to host\. Mend"):
        load_data("tfds:mnist")
