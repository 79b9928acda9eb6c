"""`load_data` from spec to batches, and the batches in `fit`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from kerastl.data import ImageData, load_data, load_image
from kerastl.errors import BrokenImagesError, UnknownNameError

# Pictures here are often alike, whatever their class.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*under two labels:kerastl.errors.DataWarning"),
    pytest.mark.filterwarnings("ignore:.*in more than one part:kerastl.errors.DataWarning"),
]


def write_images(folder: Path, *, per_class: int = 5, size: tuple[int, int] = (12, 9)) -> None:
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(per_class):
            pixels = generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_images(tmp_path / "pets")
    return tmp_path / "pets"


def load(spec: Any, **options: Any) -> ImageData:
    return load_data(spec, **{"image_size": 8, "batch_size": 4, "num_workers": 0, **options})


def test_digits_split_and_batch() -> None:
    data = load("digits", batch_size=50)
    assert data.sizes == {"train": 1079, "validation": 359, "test": 359}
    assert data.num_classes == 10
    assert data.spec == "digits"
    assert data.skipped == ()
    images, labels = next(iter(data.train))
    assert images.shape == (50, 8, 8, 3)
    assert images.dtype == torch.uint8
    assert labels.shape == (50,)
    assert labels.dtype == torch.int64


def test_batches_hold_each_file_as_load_image_gives_it(folder: Path) -> None:
    data = load(f"folder:{folder}", validation_split=0, test_split=0, resize="pad")
    assert data.validation is None
    assert data.test is None
    images = np.concatenate([batch.numpy() for batch, _ in data.in_order("train")])
    paths = [folder / name / f"{number}.png" for name in ("cat", "dog") for number in range(5)]
    for image, path in zip(images, paths, strict=True):
        np.testing.assert_array_equal(image, load_image(path, image_size=8, resize="pad"))
    assert data.labels("train").tolist() == [0] * 5 + [1] * 5


def test_labels_are_those_of_the_batches(folder: Path) -> None:
    data = load(f"folder:{folder}")
    assert data.validation is not None
    for part, loader in (("validation", data.validation), ("train", data.in_order("train"))):
        batches = np.concatenate([labels.numpy() for _, labels in loader])
        np.testing.assert_array_equal(batches, data.labels(part))  # type: ignore[arg-type]


def orders(data: ImageData, epochs: int) -> list[list[int]]:
    return [[int(image.sum()) for batch, _ in data.train for image in batch] for _ in range(epochs)]


def test_the_seed_fixes_the_order_of_every_epoch() -> None:
    images = np.arange(40, dtype=np.uint8).reshape(40, 1, 1).repeat(2, 1).repeat(2, 2)
    spec = (images, np.arange(40) % 2)
    first, again, other = (orders(load(spec, seed=seed), 2) for seed in (3, 3, 4))
    assert first == again
    assert first[0] != first[1]
    assert sorted(first[0]) == sorted(first[1])
    assert first[0] != other[0]


def test_a_look_at_the_first_batch_does_not_change_the_order() -> None:
    images = np.arange(40, dtype=np.uint8).reshape(40, 1, 1)
    spec = (images, np.arange(40) % 2)
    peeked = load(spec)
    next(iter(peeked.train))
    assert orders(peeked, 2) == orders(load(spec), 2)


def test_fit_draws_a_new_order_also_where_the_last_batch_is_full() -> None:
    """Keras takes no more than the batches that it counts."""
    images = np.arange(40, dtype=np.uint8).reshape(40, 1, 1)
    data = load((images, np.arange(40) % 2), batch_size=4)
    first, second = ([], [])
    for epoch in (first, second):
        batches = iter(data.train)
        epoch += [int(image.max()) for _ in range(len(data.train)) for image in next(batches)[0]]
    assert len(first) == len(data.train) * 4
    assert first != second


def test_parts_of_the_folder_are_kept_and_others_drawn_from_train(tmp_path: Path) -> None:
    write_images(tmp_path / "train", per_class=10)
    write_images(tmp_path / "test", per_class=3)
    data = load(f"folder:{tmp_path}", validation_split=0.3, test_split=0.5)
    assert data.sizes == {"train": 14, "validation": 6, "test": 6}
    assert np.bincount(data.labels("validation")).tolist() == [3, 3]


def test_own_parts_need_no_images_to_split(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        write_images(tmp_path / part, per_class=1)
    assert load(f"folder:{tmp_path}").sizes == {"train": 2, "validation": 2, "test": 2}


def test_broken_files_stop_before_training_unless_skipped(folder: Path) -> None:
    (folder / "cat" / "0.png").write_bytes(b"")
    with pytest.raises(BrokenImagesError, match="1 of 10 images"):
        load(f"folder:{folder}")
    data = load(f"folder:{folder}", skip_broken=True)
    assert sum(data.sizes.values()) == 9
    assert [image.path.name for image in data.skipped] == ["0.png"]


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_worker_processes_give_the_same_batches(
    folder: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", backend)
    for threaded in ("jax", "tensorflow"):  # which other tests may have loaded
        monkeypatch.delitem(sys.modules, threaded, raising=False)
    alone, helped = load(f"folder:{folder}"), load(f"folder:{folder}", num_workers=1)
    assert helped.train.persistent_workers
    method = None if helped.train.multiprocessing_context is None else "forkserver"
    assert method == (None if backend == "torch" else "forkserver")
    for (images, labels), (expected, classes) in zip(helped.train, alone.train, strict=True):
        assert torch.equal(images, expected)
        assert torch.equal(labels, classes)


def test_images_in_memory_need_no_workers(folder: Path) -> None:
    assert load_data("digits").train.num_workers == 0
    assert load_data(f"folder:{folder}").train.num_workers > 0


@pytest.mark.parametrize("num_workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_keras_fits_evaluates_and_predicts_on_the_batches(folder: Path, num_workers: int) -> None:
    import keras

    data = load(f"folder:{folder}", num_workers=num_workers)
    model = keras.Sequential(
        [
            keras.layers.Input((8, 8, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(
        data.train, validation_data=data.validation, epochs=2, shuffle=False, verbose=0
    )
    assert np.isfinite(history.history["val_loss"]).all()
    assert model.predict(data.test, verbose=0).shape == (data.sizes["test"], 2)


@pytest.mark.parametrize(
    ("spec", "options", "kind", "message"),
    [
        ("digit", {}, UnknownNameError, "Did you mean 'digits'"),
        ("digits", {"batch_size": 0}, ValueError, "`batch_size` must be a whole number, 1"),
        ("digits", {"batch_size": 2.5}, ValueError, "`batch_size` must"),
        ("digits", {"seed": -1}, ValueError, "`seed` must be a whole number, 0"),
        ("digits", {"num_workers": -1}, ValueError, "`num_workers` must"),
        ("digits", {"image_size": 0}, ValueError, "`image_size` must"),
        ("digits", {"test_split": 0.9}, ValueError, "add up to less than 1"),
        ("digits", {"class_names": ["a"]}, ValueError, "`class_names` must be left out"),
        (([1], [2], [3]), {}, ValueError, r"pair \(images, labels\)"),
        ((np.zeros((2, 4, 4)), [0, 1]), {}, ValueError, "at least 3 images"),
        (7, {}, TypeError, "`spec` must be"),
    ],
)
def test_a_wrong_argument_is_named(
    spec: Any, options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        load(spec, **options)


def test_labels_of_a_part_that_is_not_there_are_an_error() -> None:
    data = load("digits", test_split=0)
    with pytest.raises(ValueError, match=r"`part` must be one of train, validation\. Received"):
        data.labels("test")
