"""Features in the user's cache folder: kept whole, within a limit, by several processes."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from kerastl.prefix import feature_files
from kerastl.prefix.feature_files import FeatureFiles, KeptFeatures

KEY = ("spec", "weights", "images")


def some(seed: int = 0, rows: int = 50) -> KeptFeatures:
    values = np.random.default_rng(seed).normal(size=(rows, 20)).astype("float32")
    return KeptFeatures({"features": values, "labels": np.arange(rows)}, {"asked": rows})


@pytest.fixture
def files(tmp_path) -> FeatureFiles:
    return FeatureFiles(tmp_path / "features")


def only_file(files):
    (path,) = files.folder.glob("*.safetensors")
    return path


def test_what_was_kept_comes_back(files):
    assert files.get(KEY) is None
    assert files.put(KEY, some())
    found = FeatureFiles(files.folder).get(KEY)
    for name, array in some().arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)
        assert found.arrays[name].dtype == array.dtype
    assert found.about == {"asked": 50}
    assert files.get((*KEY[:2], "other images")) is None


@pytest.mark.parametrize("where", [9, 200, -9])
def test_a_damaged_file_is_noticed_and_goes(files, where):
    files.put(KEY, some())
    content = bytearray(only_file(files).read_bytes())
    content[where] ^= 0xFF
    only_file(files).write_bytes(bytes(content))
    assert files.get(KEY) is None
    assert files.num_entries == 0


@pytest.mark.parametrize("size", [0, 5, 1000])
def test_a_file_that_was_cut_short_is_noticed(files, size):
    files.put(KEY, some())
    only_file(files).write_bytes(only_file(files).read_bytes()[:size])
    assert files.get(KEY) is None


def test_what_was_used_longest_ago_goes_first(files):
    names = ("first", "second", "third")
    for age, name in enumerate(names):
        files.put((name,), some())
        newest = max(files.folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, (1000 + age, 1000 + age))
    files.get(("first",))
    limited = FeatureFiles(files.folder, limit=3 * only_size(files) + 10)
    limited.put(("fourth",), some())
    kept = [name for name in (*names, "fourth") if limited.get((name,)) is not None]
    assert kept == ["first", "third", "fourth"]
    assert limited.num_bytes <= limited.limit


def only_size(files):
    return max(path.stat().st_size for path in files.folder.iterdir())


def test_what_alone_is_above_the_limit_is_not_kept(files):
    files.put(KEY, some())
    small = FeatureFiles(files.folder, limit=1000)
    assert not small.put(("large",), some())
    assert small.get(KEY) is not None


def test_clearing_removes_features_and_nothing_else(files):
    files.put(KEY, some())
    (files.folder / "notes.txt").write_text("mine")
    assert files.clear() == 1
    assert [path.name for path in files.folder.iterdir()] == ["notes.txt"]


def test_what_a_killed_process_left_goes_but_not_what_another_is_writing(files):
    files.put(KEY, some())
    old = files.folder / ".unfinished-1-old.safetensors"
    new = files.folder / ".unfinished-2-new.safetensors"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    assert files.num_entries == 1
    files.put(("more",), some())
    assert not old.exists()
    assert new.exists()


def test_the_environment_moves_the_folder_and_sets_the_limit(monkeypatch, tmp_path):
    monkeypatch.setenv("KERASTL_CACHE", str(tmp_path))
    monkeypatch.setenv("KERASTL_CACHE_LIMIT", "12345")
    files = FeatureFiles()
    assert files.folder == tmp_path / "features"
    assert files.limit == 12345
    monkeypatch.setenv("KERASTL_CACHE_LIMIT", "2 GB")
    with pytest.raises(ValueError, match="must be a whole number of bytes"):
        FeatureFiles()
    monkeypatch.delenv("KERASTL_CACHE")
    monkeypatch.delenv("KERASTL_CACHE_LIMIT")
    assert FeatureFiles().limit == feature_files.DEFAULT_LIMIT
    assert "kerastl" in str(FeatureFiles().folder)


BUSY = """
import sys, numpy as np
from pathlib import Path
from kerastl.prefix.feature_files import FeatureFiles, KeptFeatures
files = FeatureFiles(Path(sys.argv[1]), limit=60_000)
for turn in range(60):
    key = (str(turn % 7),)
    found = files.get(key)
    wanted = np.full((100, 30), turn % 7, "float32")
    assert found is None or (found.arrays["a"] == wanted).all()
    files.put(key, KeptFeatures({"a": wanted}))
    if turn % 20 == 19:
        files.clear()
"""


def test_two_processes_at_once_never_see_half_a_file(files):
    busy = [
        subprocess.Popen([sys.executable, "-c", BUSY, str(files.folder)], stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for process in busy:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
