"""Sets of the library `datasets`, which need not be installed for the first tests."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_shards import picture_of_many_kinds, pixels, png

from kerastl.data import hf_source as hf_module
from kerastl.data import load_data, parse_data_spec, spec_paths
from kerastl.data.hf_source import read_source
from kerastl.data.resizing import ImageSettings
from kerastl.errors import BrokenImagesError, UnknownNameError

WHOLE = ImageSettings(image_size=8)


def test_without_the_library_one_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hf_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r'none that is installed\. Run: pip install "kerastl\[hf'):
        load_data("hf:beans")


def test_a_folder_called_datasets_is_not_the_library(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    code = (
        "import sys, importlib.util; from kerastl.data import load_data;"
        "sys.path = [p for p in sys.path if not p or 'site-packages' not in p];"
        "sys.path.insert(0, sys.argv[1]);"
        "from kerastl.data.hf_source import _check_library;"
        "from kerastl.data import parse_data_spec;"
        "_check_library(parse_data_spec('hf:beans'))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True
    )
    assert "ValueError: 'hf:beans' must be read by the library datasets" in result.stderr


def test_config_of_a_run_names_a_folder_from_its_own_and_a_name_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    assert spec_paths.path_of("hf:photos?label=kind") == Path("photos")
    there = spec_paths.relative_to("hf:photos?label=kind", Path("runs/first"))
    assert there == "hf:../../photos?label=kind"
    assert spec_paths.resolved(there, Path("runs/first")) == "hf:./photos?label=kind"
    assert spec_paths.same_data("hf:photos", "hf:./photos/")
    inside = spec_paths.relative_to("hf:photos", tmp_path)
    assert inside == "hf:./photos"
    for change in (spec_paths.relative_to, spec_paths.resolved):
        assert change("hf:me/flowers?config=a", Path("runs/first")) == "hf:me/flowers?config=a"
    assert spec_paths.path_of("hf:me/flowers") is None
    assert spec_paths.path_of("hf:/data/all/*.parquet") == Path("/data/all")


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf_cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    return datasets


def table(datasets: Any, count: int, *, first: int = 0, **columns: Any) -> Any:
    """Images `first`, `first + 1`, ... of cats and dogs by turns, or other columns."""
    numbers = range(first, first + count)
    features = {
        "image": datasets.Image(),
        "label": datasets.ClassLabel(names=["dog", "cat", "cow"][:2]),
    }
    values: dict[str, Any] = {
        "image": [{"bytes": png(number), "path": None} for number in numbers],
        "label": [(number + 1) % 2 for number in numbers],
    }
    for name, (feature, of_column) in columns.items():
        features.pop(name, None)
        values.pop(name, None)
        if feature is not None:
            features[name], values[name] = feature, of_column
    return datasets.Dataset.from_dict(values, features=datasets.Features(features))


def write_set(datasets: Any, folder: Path, kind: str) -> str:
    """A set of 10 images to train on and 4 of a test, and the spec that names it."""
    parts = {"train": table(datasets, 10), "test": table(datasets, 4, first=10)}
    if kind == "saved":
        datasets.DatasetDict(parts).save_to_disk(folder)
    elif kind == "parquet":
        for part, rows in parts.items():
            (folder / "data").mkdir(parents=True, exist_ok=True)
            rows.to_parquet(folder / "data" / f"{part}-00000-of-00001.parquet")
    else:
        for part, rows in parts.items():
            for number in range(len(rows)):
                whole = number + 10 * (part == "test")
                place = folder / part / ("cat", "dog")[whole % 2]
                place.mkdir(parents=True, exist_ok=True)
                (place / f"{whole:03d}.png").write_bytes(png(whole))
    return f"hf:{folder}"


@pytest.mark.parametrize("kind", ["saved", "parquet", "imagefolder"])
@pytest.mark.parametrize("num_workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_local_set_is_read_with_its_own_parts(
    library: Any, tmp_path: Path, kind: str, num_workers: int
) -> None:
    spec = write_set(library, tmp_path / "pets", kind)
    data = load_data(spec, image_size=8, resize="squash", num_workers=num_workers, batch_size=4)
    assert data.sizes == {"train": 8, "validation": 2, "test": 4}
    assert data.class_names == (("cat", "dog") if kind == "imagefolder" else ("dog", "cat"))
    assert data.understanding.origins["test"] == "the split 'test'"
    assert data.test is not None
    images, labels = next(iter(data.test))
    numbers = [10, 12, 11, 13] if kind == "imagefolder" else [10, 11, 12, 13]
    for image, label, number in zip(images.numpy(), labels.tolist(), numbers, strict=True):
        np.testing.assert_array_equal(image, pixels(number))
        assert data.class_names[label] == ("cat", "dog")[number % 2]
    assert data.names("test")[0] == f"{tmp_path / 'pets'} test record 0"


@pytest.mark.parametrize("kind", ["saved", "parquet", "imagefolder"])
def test_records_are_read_in_a_process_that_was_not_forked(
    library: Any, tmp_path: Path, kind: str
) -> None:
    spec = parse_data_spec(write_set(library, tmp_path / "pets", kind))
    items = read_source(spec).parts["test"]
    copy = pickle.loads(pickle.dumps(items))
    np.testing.assert_array_equal(
        np.asarray(copy.image(0, WHOLE)), np.asarray(items.image(0, WHOLE))
    )
    assert copy.content(0) == str(len(png(10)))


@pytest.mark.parametrize("stored", ["image", "bytes"])
def test_records_are_as_the_files_that_they_were_made_of(
    library: Any, tmp_path: Path, stored: str
) -> None:
    contents, labels = [], []
    for number in range(20):
        ending, content = picture_of_many_kinds(number)
        label = ("a", "b", "c")[number % 3]
        place = tmp_path / "files" / label
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:02d}.{ending}").write_bytes(content)
        contents.append(content)
        labels.append(label)
    kind = library.Image() if stored == "image" else library.Value("binary")
    cells = [{"bytes": each, "path": None} for each in contents] if stored == "image" else contents
    rows = library.Dataset.from_dict(
        {"image": cells, "label": labels},
        features=library.Features({"image": kind, "label": library.Value("string")}),
    )
    rows.to_parquet(tmp_path / "a.parquet")
    options: Any = {"image_size": 12, "num_workers": 0, "validation_split": 0, "test_split": 0}
    records = load_data(f"hf:{tmp_path}/a.parquet", **options)
    files = load_data(f"folder:{tmp_path}/files", **options)
    assert records.class_names == files.class_names == ("a", "b", "c")
    assert records.dataset("train").white == files.dataset("train").white == 4095
    for number in range(20):
        image, label = files.dataset("train")[number]  # type: ignore[misc]
        record = int(Path(files.dataset("train").name(number)).stem)
        other = records.dataset("train")[record]
        np.testing.assert_array_equal(image, other[0])  # type: ignore[index]
        assert label == other[1]  # type: ignore[index]
    digests = {row.digest for row in files.split_rows()}
    assert digests == {row.digest for row in records.split_rows()} - {""}


def test_splits_and_columns_go_by_name(library: Any, tmp_path: Path) -> None:
    text, image = library.Value("string"), library.Image()
    crop = [{"bytes": png(number + 50), "path": None} for number in range(12)]
    extra: Any = {
        "crop": (image, crop),
        "kind": (text, ["b", "a", "c"] * 4),
        "number": (library.Value("int32"), [10, 9] * 6),
        "patient": (text, [f"p{number // 4}" for number in range(12)]),
    }
    rows = table(library, 12, **extra)
    library.DatasetDict({"north": rows, "dev": rows, "south": rows}).save_to_disk(tmp_path / "s")
    with pytest.raises(ValueError, match=r"Received: north, dev, south\. Name it: \?train=SPLIT"):
        read_source(parse_data_spec(f"hf:{tmp_path}/s"))
    source = read_source(
        parse_data_spec(
            f"hf:{tmp_path}/s?train=north&test=south&image=crop&label=kind&group=patient"
        )
    )
    assert set(source.parts) == {"train", "validation", "test"}
    assert source.class_names == ("a", "b", "c")
    items: Any = source.parts["test"]
    assert items.labels.tolist() == [1, 0, 2] * 4
    assert items.groups.tolist() == [f"p{number // 4}" for number in range(12)]
    np.testing.assert_array_equal(np.asarray(items.image(3, WHOLE)), pixels(53))
    assert items.key(3) == "south/3"
    numbers = read_source(parse_data_spec(f"hf:{tmp_path}/s?train=north&label=number"))
    assert numbers.class_names == ("9", "10")


def test_one_split_is_split_and_a_test_without_labels_is_not_used(
    library: Any, tmp_path: Path
) -> None:
    table(library, 10).save_to_disk(tmp_path / "one")
    data = load_data(f"hf:{tmp_path}/one", image_size=8, num_workers=0)
    assert data.sizes == {"train": 6, "validation": 2, "test": 2}
    hidden = table(library, 4, label=(library.ClassLabel(names=["dog", "cat"]), [-1] * 4))
    library.DatasetDict({"train": table(library, 10), "test": hidden}).save_to_disk(tmp_path / "h")
    assert set(read_source(parse_data_spec(f"hf:{tmp_path}/h")).parts) == {"train"}


@pytest.mark.parametrize(
    ("columns", "option", "message"),
    [
        ({"image": (None, None)}, "", "an image. Received: none among label. Name it: .image="),
        ({"label": (None, None)}, "", "a class. Received: none among image. Name it: .label="),
        ({"label": ("float32", [0.5, 1.5])}, "", "a class. Received: none among image, label"),
        ({"label": ("float32", [0.5, 1.5])}, "?label=label", "names or whole numbers"),
        ({}, "?image=label", "must hold images"),
        ({"label": ("string", ["a", None])}, "", "none for 1 of 2 in the train part"),
        ({"label": ("string", ["a", "a"])}, "", "one class only, 'a'"),
    ],
)
def test_a_set_of_another_kind_is_one_sentence(
    library: Any, tmp_path: Path, columns: Any, option: str, message: str
) -> None:
    changed = {
        name: (kind and library.Value(kind), values) for name, (kind, values) in columns.items()
    }
    table(library, 2, **changed).save_to_disk(tmp_path / "s")
    with pytest.raises(ValueError, match=message):
        read_source(parse_data_spec(f"hf:{tmp_path}/s{option}"))


def test_several_images_and_several_classes_are_listed(library: Any, tmp_path: Path) -> None:
    cells = [{"bytes": png(number), "path": None} for number in range(2)]
    right = (library.Image(), cells)
    rows = table(library, 2, right=right).rename_columns({"image": "left", "label": "kind"})
    rows.save_to_disk(tmp_path / "s")
    with pytest.raises(ValueError, match=r"an image\. Received: several, left, right, among"):
        read_source(parse_data_spec(f"hf:{tmp_path}/s"))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("?label=lable", "Unknown column 'lable'. Did you mean 'label'"),
        ("?group=patient", "Unknown column 'patient'"),
        ("?test=tets", "Unknown split 'tets'. Did you mean 'test'"),
        ("?lable=a", "Unknown option of an hf spec 'lable'. Did you mean 'label'"),
    ],
)
def test_names_that_are_not_there_are_named(
    library: Any, tmp_path: Path, spec: str, message: str
) -> None:
    write_set(library, tmp_path / "s", "saved")
    with pytest.raises(UnknownNameError, match=message):
        read_source(parse_data_spec(f"hf:{tmp_path}/s{spec}"))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("hf:nobody/nothing", r"or the Hugging Face Hub within reach\. Received: Couldn't reach"),
        ("hf:{folder}/empty", "EmptyDatasetError: The directory at"),
        ("hf:{folder}/none/*.parquet", "parquet files. Received: nothing of such a name"),
        ("hf:{folder}/a.txt", "parquet files. Received: a file"),
    ],
)
def test_a_set_that_cannot_be_had_says_why(
    library: Any, tmp_path: Path, spec: str, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(ValueError, match=message):
        read_source(parse_data_spec(spec.format(folder=tmp_path)))


def test_code_that_comes_with_a_set_is_not_run(library: Any, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    mark = tmp_path / "was_run"
    (tmp_path / "s" / "s.py").write_text(f"open({str(mark)!r}, 'w').close()")
    with pytest.raises(ValueError, match="must be one that the library datasets can load"):
        read_source(parse_data_spec(f"hf:{tmp_path}/s"))
    assert not mark.exists()


def test_a_library_that_runs_code_is_refused(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "__version__", "2.21.0")
    with pytest.raises(ValueError, match=r"version 4 or later.*Received: 2\.21\.0"):
        load_data("hf:beans")


def test_broken_records_are_listed_or_left_out(library: Any, tmp_path: Path) -> None:
    cells = [{"bytes": png(number), "path": None} for number in range(10)]
    cells[4] = {"bytes": png(4)[:60], "path": None}
    cells[7] = None  # type: ignore[call-overload]
    table(library, 10, image=(library.Image(), cells)).save_to_disk(tmp_path / "s")
    options: Any = {"image_size": 8, "num_workers": 0, "test_split": 0}
    with pytest.raises(BrokenImagesError, match="2 of 10 images") as raised:
        load_data(f"hf:{tmp_path}/s", **options)
    assert "record 7: the record has no image" in str(raised.value)
    data = load_data(f"hf:{tmp_path}/s", skip_broken=True, **options)
    assert sum(data.sizes.values()) == 8


def test_another_set_has_another_fingerprint(library: Any, tmp_path: Path) -> None:
    write_set(library, tmp_path / "files", "imagefolder")
    write_set(library, tmp_path / "saved", "saved")
    for name in ("files", "saved"):
        items = read_source(parse_data_spec(f"hf:{tmp_path}/{name}")).parts["train"]
        before = items.fingerprint(np.arange(6))
        assert items.fingerprint(np.arange(6)) == before != items.fingerprint(np.arange(5))
        file = next((tmp_path / name).glob("train/cat/*.png" if name == "files" else "**/*.arrow"))
        os.utime(file, (1, 1))
        if name == "files":
            assert items.fingerprint(np.arange(6)) != before


_PEAK = """
import json, re, sys
from kerastl.data import load_data
def resident():
    return int(re.search(r"RssAnon:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
data = load_data(sys.argv[1], image_size=32, num_workers=0, batch_size=32)
count = peak = 0
for _, labels in data.train:
    count, peak = count + len(labels), max(peak, resident())
print(json.dumps([count, peak]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="how Linux counts memory")
def test_memory_is_flat_at_ten_times_the_data(library: Any, tmp_path: Path) -> None:
    """120 and 1,200 MB; pages of the mapped file are the system's, which takes them back."""
    noise = np.random.default_rng(0).integers(0, 256, 200_000, dtype=np.uint8).tobytes()
    for name, shards in (("small", 1), ("large", 10)):
        parts = []
        for shard in range(shards):
            cells = [
                {"bytes": png(number) + noise, "path": None}
                for number in range(600 * shard, 600 * (shard + 1))
            ]
            parts.append(table(library, 600, first=600 * shard, image=(library.Image(), cells)))
        library.concatenate_datasets(parts).save_to_disk(tmp_path / name)
        del parts
    found = []
    for name in ("small", "large"):
        result = subprocess.run(
            [sys.executable, "-c", _PEAK, f"hf:{tmp_path}/{name}"],
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        found.append(json.loads(result.stdout))
    (few, small), (many, large) = found
    assert (few, many) == (360, 3600)
    assert large - small < 25, f"{small:.0f} MB of 120 MB, {large:.0f} MB of 1,200 MB"
