"""A run that is killed twenty times, at random moments, ends as the one that is left alone."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import kerastl
from kerastl.evaluation import run_record as results

KILLS = 20
EPOCHS = 66
MOST_EPOCHS_PER_LIFE = 3


def start(*options):
    environment = {**os.environ, "KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "kerastl", "run", *map(str, options), "--progress", "lines"],
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
    assert process.poll() is None, "the run ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()


@pytest.mark.slow
def test_twenty_kills_change_nothing(tmp_path, pictures):
    options = (
        *("--data", f"folder:{pictures}", "--backbone", "keras:MobileNet?alpha=0.25"),
        *("--weights", "none", "--image-size", "32", "--batch-size", "4", "--dropout", "0.3"),
        *("--strategy", "gradual", "--epochs", EPOCHS, "--augment", "standard", "--workers", "0"),
        *("--keep-best", "loss", "--optimizer", "sgd", "--accumulate", "2"),
    )
    whole = start(*options, "--output", tmp_path / "whole")
    _, errors = whole.communicate(timeout=600)
    assert whole.returncode == 0, errors
    chance = random.Random(0)
    folder = tmp_path / "killed"
    kill_at_a_random_moment(start(*options, "--output", folder), chance)
    for _ in range(KILLS - 1):
        kill_at_a_random_moment(start("--resume", folder), chance)
    last = start("--resume", folder)
    _, errors = last.communicate(timeout=600)
    assert last.returncode == 0, errors

    expected = results.load_history(tmp_path / "whole")
    history = results.load_history(folder)
    assert len(history) == len(expected) == EPOCHS
    for row, other in zip(history, expected, strict=True):
        assert row == pytest.approx(other, rel=1e-4, abs=1e-6)
    models = [
        kerastl.load_model(path / results.MODEL_FILE) for path in (folder, tmp_path / "whole")
    ]
    for ours, theirs in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    assert results.load_metrics(folder).test == pytest.approx(
        results.load_metrics(tmp_path / "whole").test, rel=1e-4
    )
    left = {path.name for path in folder.iterdir()}
    assert left == {path.name for path in (tmp_path / "whole").iterdir()}
