"""A run that is killed again and again ends as the one that is left alone.

At random moments, amid a long epoch, and while it is saving.
"""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from small_runs import write_pictures

import kerastl
from kerastl.evaluation import run_record as results
from kerastl.internals.whole_files import UNFINISHED
from kerastl.runs import checkpoints

KILLS = 20
EPOCHS = 66
MOST_EPOCHS_PER_LIFE = 3
OPTIONS = (
    *("--backbone", "keras:MobileNet?alpha=0.25", "--weights", "none", "--image-size", "32"),
    *("--dropout", "0.3", "--augment", "standard", "--workers", "0"),
    *("--keep-best", "loss", "--optimizer", "sgd", "--accumulate", "2"),
)


def start(*options, command="run"):
    environment = {**os.environ, "KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1"}
    shown = ("--progress", "lines") if command == "run" else ()
    return subprocess.Popen(
        [sys.executable, "-m", "kerastl", command, *map(str, options), *shown],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env=environment,
    )


def kill_at_a_random_moment(process, chance):
    """After some epochs and some more milliseconds: in a step, in a checkpoint, in validation."""
    epochs = chance.randint(0, MOST_EPOCHS_PER_LIFE)
    for line in process.stderr:
        if line.startswith(("Trained ", "Epoch ")):
            if epochs == 0:
                break
            epochs -= line.startswith("Epoch ")
    time.sleep(chance.uniform(0, 0.15))
    kill(process)


def kill(process):
    assert process.poll() is None, "it ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()


def finish(process):
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors


def same_end(killed, whole):
    expected, history = results.load_history(whole), results.load_history(killed)
    assert len(history) == len(expected)
    for row, other in zip(history, expected, strict=True):
        assert row == pytest.approx(other, rel=1e-4, abs=1e-6)
    models = [kerastl.load_model(path / results.MODEL_FILE) for path in (killed, whole)]
    for ours, theirs in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    tests = [results.load_metrics(path).test for path in (killed, whole)]
    assert tests[0] == pytest.approx(tests[1], rel=1e-4)
    left, expected_left = ({path.name for path in folder.iterdir()} for folder in (killed, whole))
    assert left == expected_left


@pytest.mark.slow
def test_twenty_kills_change_nothing(tmp_path, pictures):
    options = (
        *("--data", f"folder:{pictures}", *OPTIONS, "--batch-size", "4"),
        *("--strategy", "gradual", "--epochs", EPOCHS),
    )
    finish(start(*options, "--output", tmp_path / "whole"))
    chance = random.Random(0)
    folder = tmp_path / "killed"
    kill_at_a_random_moment(start(*options, "--output", folder), chance)
    for _ in range(KILLS - 1):
        kill_at_a_random_moment(start("--resume", folder), chance)
    finish(start("--resume", folder))
    same_end(folder, tmp_path / "whole")
    assert len(results.load_history(folder)) == EPOCHS


@pytest.fixture(scope="module")
def long_epochs(tmp_path_factory):
    """Options of a run of four epochs of 24 steps, a checkpoint after each, and its folder."""
    folder = write_pictures(tmp_path_factory.mktemp("many"), per_class=20, size=32)
    data = ("--data", f"folder:{folder}", *OPTIONS, "--strategy", "partial")
    once = (*data, "--batch-size", "1", "--epochs", "4", "--checkpoint-every", "0")
    whole = tmp_path_factory.mktemp("whole") / "run"
    finish(start(*once, "--output", whole))
    return once, whole


@pytest.mark.slow
def test_ten_kills_amid_an_epoch_change_nothing(tmp_path, long_epochs):
    options, whole = long_epochs
    chance = random.Random(1)
    folder = tmp_path / "killed"
    process, steps = start(*options, "--output", folder), []
    for _ in range(10):
        wait_for_another_checkpoint(process, folder)
        time.sleep(chance.uniform(0, 0.1))
        kill(process)
        steps.append(checkpoints.load(folder / results.CHECKPOINT_FILE).progress)
        process = start("--resume", folder)
    finish(process)
    same_end(folder, whole)
    assert sum(progress.steps > 0 for progress in steps) >= 8
    assert [progress.steps + 100 * len(progress.epochs) for progress in steps] == sorted(
        progress.steps + 100 * len(progress.epochs) for progress in steps
    )


@pytest.mark.slow
def test_ten_sigterms_amid_an_epoch_change_nothing(tmp_path, long_epochs):
    """Each is kept by a checkpoint of its own: none is written by the minutes."""
    options, whole = long_epochs
    options = (*options, "--checkpoint-every", "60")
    chance = random.Random(3)
    folder = tmp_path / "stopped"
    process, steps = start(*options, "--output", folder), []
    for _ in range(10):
        for line in process.stderr:
            if line.startswith("Cache "):  # `fit` begins
                break
        time.sleep(chance.uniform(0, 0.5))
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 143, errors
        assert "Go on with: kerastl run --resume" in errors
        progress = checkpoints.load(folder / results.CHECKPOINT_FILE).progress
        steps.append((len(progress.epochs), progress.steps))
        process = start("--resume", folder)
    finish(process)
    same_end(folder, whole)
    assert steps == sorted(steps)
    assert len(set(steps)) >= 9


def wait_for_another_checkpoint(process, folder):
    """Until this process has written one."""
    file = folder / results.CHECKPOINT_FILE
    before = file.stat().st_mtime_ns if file.exists() else 0
    while not file.exists() or file.stat().st_mtime_ns == before:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.002)


def wait_for_something_unfinished(process, folder):
    """Until something is being written; False where the process ends before it is seen."""
    while process.poll() is None:
        if any(folder.glob(f"{UNFINISHED}*")):
            return True
    return False


@pytest.mark.slow
def test_kills_while_a_run_saves_change_nothing(tmp_path, long_epochs):
    """Checkpoints, models and histories; then what comes after the last epoch."""
    options, whole = long_epochs
    chance = random.Random(2)
    folder = tmp_path / "killed"
    process = start(*options, "--output", folder)
    wait_for_another_checkpoint(process, folder)  # before the first there is nothing to go on from
    for _ in range(6):
        assert wait_for_something_unfinished(process, folder)
        time.sleep(chance.choice([0, 0, 0.001, 0.003]))
        kill(process)
        process = start("--resume", folder)
    finish(process)
    same_end(folder, whole)


@pytest.mark.slow
def test_kills_while_a_report_is_written_change_nothing(tmp_path, long_epochs):
    options = [*long_epochs[0], "--epochs", "1"]
    finish(start(*options, "--output", tmp_path / "whole"))
    folder = tmp_path / "killed"
    process = start(*options, "--output", folder)
    for number in range(3):
        for line in process.stderr:
            if line.startswith("Epoch "):
                break
        time.sleep(0.3 * number)
        if process.poll() is not None:
            break
        kill(process)
        process = start("--resume", folder)
    finish(process)
    same_end(folder, tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "suffix"), [("onnx", "onnx"), ("torch", "pt2")])
def test_kills_while_an_export_is_written_leave_nothing(tmp_path, long_epochs, kind, suffix):
    """The next export of that folder removes what is left."""
    target = tmp_path / f"model.{suffix}"
    given = (long_epochs[1], "--format", kind, "--output", target)
    for _ in range(2):
        process = start(*given, command="export")
        assert wait_for_something_unfinished(process, tmp_path)
        kill(process)
        assert not target.exists()
    finish(start(*given, command="export"))
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
