"""`kerastl run` in several processes: the same run as in one."""

import csv
import os
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

import kerastl
from kerastl.processes.starting import number_of

OPTIONS = (
    *("--image-size", "32", "--epochs", "2", "--batch-size", "64", "--optimizer", "sgd"),
    *("--learning-rate", "0.01", "--strategy", "feature-extraction", "--progress", "lines"),
)


def _kerastl(*arguments, together=()):
    environment = {name: text for name, text in os.environ.items() if name != "KERAS_BACKEND"}
    return subprocess.run(
        [sys.executable, *together, "-m", "kerastl", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one") / "run"
    done = _kerastl("run", *OPTIONS, "--output", str(folder))
    assert done.returncode == 0, done.stderr
    return folder


def _assert_same_run(folder, expected):
    texts = [(each / "history.csv").read_text(encoding="utf-8") for each in (folder, expected)]
    rows = [list(csv.reader(text.splitlines())) for text in texts]
    assert rows[0][0] == rows[1][0]
    np.testing.assert_allclose(
        np.array(rows[0][1:], float), np.array(rows[1][1:], float), rtol=1e-5
    )
    models = [kerastl.load_model(each / "model.keras") for each in (folder, expected)]
    for one, other in zip(*(model.weights for model in models), strict=True):
        values = [keras.ops.convert_to_numpy(variable) for variable in (one, other)]
        np.testing.assert_allclose(*values, atol=1e-5)
    assert {file.name for file in folder.iterdir()} == {file.name for file in expected.iterdir()}


@pytest.mark.slow
def test_a_run_in_two_processes_is_the_run_of_one(one, tmp_path):
    done = _kerastl("run", *OPTIONS, "--output", str(tmp_path / "run"), "--processes", "2")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Epoch 2/2") == 1
    assert done.stdout.count("Saved in") == 1
    _assert_same_run(tmp_path / "run", one)


@pytest.mark.slow
def test_torchrun_runs_the_command_too(one, tmp_path):
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    done = _kerastl("run", *OPTIONS, "--output", str(tmp_path / "run"), together=torchrun)
    assert done.returncode == 0, done.stderr
    _assert_same_run(tmp_path / "run", one)


@pytest.mark.slow
@pytest.mark.parametrize("worlds", [("2", "1"), ("1", "2")], ids=["2 to 1", "1 to 2"])
def test_a_stopped_run_goes_on_in_another_number_of_processes(one, tmp_path, worlds):
    folder, environment = tmp_path / "run", dict(os.environ)
    command = ["run", *OPTIONS, "--output", str(folder), "--processes", worlds[0]]
    with subprocess.Popen(
        [sys.executable, "-m", "kerastl", *command],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as started:
        said = ""
        for line in started.stderr:
            said += line
            if line.startswith("Epoch 1/2"):
                started.send_signal(signal.SIGTERM)
        assert started.wait(timeout=120) == 143, said
    assert "--resume" in said
    done = _kerastl("run", "--resume", str(folder), "--processes", worlds[1])
    assert done.returncode == 0, done.stderr
    _assert_same_run(folder, one)


@pytest.mark.slow
def test_an_error_of_all_processes_is_told_once_with_the_exit_code_of_one(one):
    done = _kerastl("run", *OPTIONS, "--output", str(one), "--processes", "2")
    assert done.returncode == 1
    assert done.stderr.count("must not hold another run") == 1


@pytest.mark.slow
def test_other_backends_refuse_several_processes(tmp_path):
    arguments = ("--backend", "jax", "--output", str(tmp_path / "run"), "--processes", "2")
    done = _kerastl("run", *OPTIONS, *arguments)
    assert done.returncode == 1
    assert "must train on the torch backend. Received: backend=jax" in done.stderr


def test_the_number_of_processes_is_a_number_or_auto():
    assert number_of("3") == 3
    assert number_of("auto") >= 1
    for wrong in ("0", "-1", "two", "1.5"):
        with pytest.raises(ValueError, match="must be a whole number, 1 or more, or auto"):
            number_of(wrong)


def test_other_commands_are_one_process():
    place = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    done = subprocess.run(
        [sys.executable, "-m", "kerastl", "plan"],
        env=os.environ | place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "`kerastl plan` must be one process. Received: 2 processes" in done.stderr
