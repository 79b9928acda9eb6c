"""What a run leaves in its folder."""

import contextlib
import errno
import hashlib
import json

import pytest

from kerastl.errors import DamagedFileError
from kerastl.evaluation import run_record as results
from kerastl.evaluation.run_record import RunResults


def test_metrics_are_read_back(tmp_path):
    measured = RunResults(test={"accuracy": 0.5}, skipped_images=2, class_names=["a", "ü"])
    results.save_metrics(tmp_path, measured)
    assert results.load_metrics(tmp_path) == measured


def test_intervals_stand_beside_the_plain_numbers(tmp_path):
    ends = {"test": {"accuracy": [0.25, 0.75]}}
    results.save_metrics(tmp_path, RunResults(test={"accuracy": 0.5}, intervals=ends))
    written = json.loads((tmp_path / results.METRICS_FILE).read_text())
    assert written["test"]["accuracy"] == 0.5
    assert written["intervals"] == ends
    assert results.load_metrics(tmp_path).intervals == ends


def test_a_file_that_is_older_than_intervals_has_none(tmp_path):
    (tmp_path / results.METRICS_FILE).write_text('{"test": {"accuracy": 0.5}}')
    assert results.load_metrics(tmp_path).intervals == {}


def test_entries_of_a_newer_version_are_left_out(tmp_path):
    (tmp_path / results.METRICS_FILE).write_text('{"epochs": 3, "later": 1}')
    assert results.load_metrics(tmp_path).epochs == 3


@pytest.mark.parametrize(
    ("text", "message"), [(None, "must hold a run's"), ("{", "is damaged .*must be JSON")]
)
def test_a_folder_without_metrics_is_refused(tmp_path, text, message):
    if text is not None:
        (tmp_path / results.METRICS_FILE).write_text(text)
    with pytest.raises(ValueError, match=message):
        results.load_metrics(tmp_path)


def test_the_history_has_one_row_per_epoch(tmp_path):
    epochs = [{"loss": 2.0, "learning_rate/head": 0.1}, {"loss": 1.0, "learning_rate/head": 0.05}]
    results.save_history(tmp_path, epochs)
    rows = results.load_history(tmp_path)
    assert rows == [{"epoch": number, **logs} for number, logs in enumerate(epochs, 1)]


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path):
    target = tmp_path / "file.txt"
    target.write_text("old")

    def half(path):
        path.write_text("ne")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        results.write_whole(target, half)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_one_sentence(tmp_path):
    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="Free some, or name an `output` folder"):
        results.write_whole(tmp_path / "file.txt", full)


@pytest.mark.parametrize("name", ["absent", "."])
def test_a_path_without_a_model_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="`model` must be a run folder"):
        results.model_file(tmp_path / name)


def run_files(folder):
    (folder / results.MODEL_FILE).write_bytes(b"a model")
    results.save_history(folder, [{"loss": 2.0}, {"loss": 1.0}])
    (folder / results.SPLIT_FILE).write_text("path,part,label,digest\n")
    results.save_metrics(folder, RunResults(test={"accuracy": 0.5}))
    return results.load_metrics(folder)


def test_results_have_the_digests_of_the_other_files(tmp_path):
    measured = run_files(tmp_path)
    expected = hashlib.blake2b(b"a model", digest_size=16).hexdigest()
    assert measured.digests[results.MODEL_FILE] == expected
    assert set(measured.digests) == set(results.DIGESTED_FILES)
    assert results.changed_files(tmp_path, measured) == []


@pytest.mark.parametrize("name", results.DIGESTED_FILES)
def test_a_file_that_is_not_the_runs_any_more_is_named(name, tmp_path):
    measured = run_files(tmp_path)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes() + b"\n")
    assert results.changed_files(tmp_path, measured) == [name]
    (tmp_path / results.CHECKPOINT_FILE).touch()  # the run goes on
    assert results.changed_files(tmp_path, measured) == []


@pytest.mark.parametrize(
    "text",
    ["", "[]", "3", '{"test": 3}', '{"epochs": "3"}', '{"class_names": {}}', '{"test": {"a": "b"}}',
     '{"completed": 1}', '{"intervals": []}', "[" * 10**5, "\0", '{"seconds": null}'],
)  # fmt: skip
def test_results_of_wrong_types_are_damage(text, tmp_path):
    (tmp_path / results.METRICS_FILE).write_text(text)
    with pytest.raises(DamagedFileError, match=r"metrics\.json is damaged"):
        results.load_metrics(tmp_path)


def test_every_flipped_bit_of_results_and_history_is_read_or_said_to_be_damage(tmp_path):
    run_files(tmp_path)
    for name, read in (
        (results.METRICS_FILE, results.load_metrics),
        (results.HISTORY_FILE, results.load_history),
    ):
        content = (tmp_path / name).read_bytes()
        for place in range(len(content)):
            flipped = bytearray(content)
            flipped[place] ^= 1 << (place % 8)
            (tmp_path / name).write_bytes(bytes(flipped))
            with contextlib.suppress(DamagedFileError):
                read(tmp_path)
        (tmp_path / name).write_bytes(content)
