"""Histories with and without the cache, for every source of data."""

import numpy as np
import pytest
from prefix_fits import assert_same, classifier, train
from small_runs import write_pictures
from tiny_shards import write_shards
from tiny_tfds import prepare

import kerastl


def folder(root, monkeypatch):
    return f"folder:{write_pictures(root, per_class=8, size=32)}"


def table(root, monkeypatch):
    write_pictures(root, per_class=8, size=32)
    rows = [f"{kind}/{number}.png,{kind}" for number in range(8) for kind in ("dark", "light")]
    (root / "table.csv").write_text("\n".join(["path,label", *rows]))
    return f"csv:{root / 'table.csv'}"


def prepared(root, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(root))
    prepare(root, {"train": 14, "test": 4})
    return "tfds:tiny_pets"


def shards(root, monkeypatch):
    monkeypatch.setenv("KERASTL_CACHE", str(root / "cache"))
    return f"wds:{write_shards(root, shards=3, each=6)}"


@pytest.mark.parametrize(
    ("source", "num_workers"),
    [pytest.param(folder, 2, marks=pytest.mark.slow), (table, 0), (prepared, 0), (shards, 0)],
)
@pytest.mark.parametrize("through", [pytest.param("layer2", marks=pytest.mark.slow), "layer4"])
def test_history_with_the_cache_is_the_history_without(
    source, num_workers, through, tmp_path, monkeypatch
):
    spec = source(tmp_path, monkeypatch)
    histories = []
    for cache in (False, "auto"):
        data = kerastl.load_data(
            spec, image_size=32, batch_size=4, num_workers=num_workers, resize="squash"
        )
        model = classifier(through=through, num_classes=2)
        options = {"batch_size": None, "validation_data": data.validation, "cache": cache}
        histories.append(train(model, data.train, None, **options))
    assert_same(histories[1], histories[0])
    assert model.cache_report.startswith("in memory")
    assert np.ptp(histories[0]["loss"]) > 0


@pytest.mark.parametrize("cache", [pytest.param(False, marks=pytest.mark.slow), "auto"])
def test_worker_processes_that_read_ahead_change_no_order(cache, tmp_path):
    """Two workers read four batches ahead: more than an epoch has here."""
    histories = []
    write_pictures(tmp_path, per_class=8, size=32)
    for num_workers in (0, 2):
        data = kerastl.load_data(
            f"folder:{tmp_path}", image_size=32, batch_size=4, num_workers=num_workers
        )
        model, found = classifier(num_classes=2), []
        for _ in range(2):
            found.append(train(model, data.train, None, batch_size=None, cache=cache))
        histories.append(found)
    for with_workers, without in zip(*histories, strict=True):
        assert_same(with_workers, without)
