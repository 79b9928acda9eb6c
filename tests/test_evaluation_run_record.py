"""What a run leaves in its folder."""

import errno
import json

import pytest

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
