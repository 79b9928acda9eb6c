"""What the user can mend is told from faults of the program, by where an error was raised."""

import dataclasses
import functools
import subprocess
import sys
from pathlib import Path

import click
import keras
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from sklearn.linear_model import LogisticRegression

import kerastl
from kerastl.commands import main
from kerastl.commands.failures import one_clear_line
from kerastl.errors import UnknownNameError, is_fault, sentence, worker_error
from kerastl.evaluation import run_record as results
from kerastl.runs import training
from kerastl.runs.config import RunConfig
from kerastl.runs.training import preparing, running

ROOT = Path(__file__).resolve().parents[1]


def raised(action):
    with pytest.raises(Exception) as caught:
        action()
    return caught.value


def say(error):
    raise error


FAULTS = {
    "numpy": lambda: np.zeros(2) @ np.zeros(3),
    "torch": lambda: torch.zeros(2).reshape(3),
    "torch's layer": lambda: torch.nn.Linear(2, 3)(torch.zeros(1, 5)),
    "keras": lambda: keras.layers.Dense(-1),
    "keras's call": lambda: keras.layers.Conv2D(2, 3)(np.zeros((1, 4))),
    "scikit-learn": lambda: LogisticRegression().fit(np.zeros((2, 2)), [0, 0]),
    "int": lambda: int("three"),
    "None + 1": lambda: None + 1,
    "arguments": lambda: training.run(),
    "types": lambda: RunConfig(epochs="three"),
    "a name": lambda: {}["stem"],
    "an import of ours": lambda: __import__("kerastl.nowhere"),
    "raised by others": lambda: say(ValueError("`epochs` must be so and so.")),
    "assertion": lambda: say(AssertionError("never")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_error_from_within_a_library_or_an_accident_is_a_fault(fault):
    error = raised(FAULTS[fault])
    assert is_fault(error)
    told = sentence(error)
    assert told.startswith(f"{type(error).__name__}: ")
    assert told.endswith("This is a fault of kerastl; run again with --debug to see where.")
    assert "\n" not in told


def small(**options):
    return kerastl.ImageClassifier(
        "torchvision:squeezenet1_1", weights="none", num_classes=2, **options
    )


MENDABLE = {
    "option": (lambda: RunConfig(epochs=0), "`epochs` must be 1 or more"),
    "name": (lambda: kerastl.list_backbones("nowhere"), "Unknown"),
    "type": (lambda: kerastl.export_model(3, "a.onnx", format="onnx"), "`model` must be"),
    "size": (lambda: small(image_size=8), "`image_size` must be one"),
    "file": (lambda: Path("nowhere").read_text(), "No such file or directory: nowhere"),
    "permission": (
        lambda: say(PermissionError(13, "Permission denied", "/x")),
        "Permission denied",
    ),
    "package": (lambda: __import__("no_such_package"), "No module named 'no_such_package'"),
    "memory": (lambda: np.zeros(10**15), "The memory does not suffice ("),
    "memory of torch": (lambda: torch.zeros(10**15), "The memory does not suffice ("),
    "memory of a device": (
        lambda: say(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")),
        "The memory does not suffice (CUDA out of memory.",
    ),
    "weights": (lambda: small().load_weights("nowhere.weights.h5"), ""),
}


@pytest.mark.parametrize("kind", MENDABLE)
def test_what_kerastl_or_the_machine_says_is_for_the_user_to_mend(kind):
    action, says = MENDABLE[kind]
    error = raised(action)
    assert not is_fault(error), sentence(error)
    assert sentence(error).startswith(says)


@pytest.mark.parametrize("labels", [[0, 1, 2, 9], [[0.5, 0.5]] * 4])
def test_an_error_of_ours_is_known_through_the_frames_that_keras_leaves_out(labels):
    model = small(image_size=32)
    model.compile("sgd", learning_rate=0.1)
    images = np.zeros((4, 32, 32, 1 if labels[0] == [0.5, 0.5] else 3), "uint8")
    error = raised(lambda: model.fit(images, np.array(labels), verbose=0))
    assert not is_fault(error), sentence(error)


def test_a_type_of_our_own_is_never_a_fault_wherever_it_is_raised_again():
    assert not is_fault(raised(lambda: say(UnknownNameError("Unknown block 'stm'."))))


def command(action):
    @click.command()
    @one_clear_line
    def run():
        action()

    return run


@pytest.mark.parametrize(
    ("action", "code"),
    [
        (FAULTS["numpy"], 3),
        (FAULTS["a name"], 3),
        (MENDABLE["option"][0], 1),
        (MENDABLE["file"][0], 1),
        (functools.partial(say, KeyboardInterrupt()), 130),
        (functools.partial(say, KeyboardInterrupt("SIGINT")), 130),
        (functools.partial(say, KeyboardInterrupt("SIGTERM")), 143),
        (functools.partial(say, click.UsageError("no")), 2),
    ],
)
def test_the_exit_code_says_which(action, code):
    done = CliRunner().invoke(command(action))
    assert done.exit_code == code
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in done.output


def test_debug_shows_a_faults_traceback_and_keeps_its_exit_code():
    done = CliRunner().invoke(command(FAULTS["numpy"]), ["--debug"])
    assert done.exit_code == 3
    assert "Traceback (most recent call last)" in done.stderr
    assert "matmul" in done.stderr


@pytest.fixture
def run_with(config, monkeypatch):
    def start(place, name, action):
        monkeypatch.setattr(place, name, action)
        return CliRunner().invoke(
            main,
            ["run", "--data", config.data, "--output", config.output, "--workers", "0",
             "--image-size", "32", "--epochs", "2", "--strategy", "full"],
        )  # fmt: skip

    return start


@pytest.mark.parametrize(
    ("place", "name"), [(preparing, "load_data"), (running, "check_space"), (running, "run_folds")]
)
def test_a_fault_in_a_run_has_its_traceback_in_the_runs_folder(run_with, config, place, name):
    if name == "run_folds":
        place, name = running.Training, "fit"
    done = run_with(place, name, lambda *args, **kwargs: np.zeros(2) @ np.zeros(3))
    file = Path(config.output) / results.FAULT_FILE
    assert done.exit_code == 3
    assert done.stderr.splitlines()[-1].endswith(
        f"run again with --debug to see where. The traceback is in {file}."
    )
    assert "Traceback" not in done.output
    text = file.read_text()
    assert "matmul" in text
    assert "Traceback (most recent call last)" in text
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_an_error_of_the_users_leaves_no_traceback(config):
    folder = Path(config.output)
    folder.mkdir(exist_ok=True)
    (folder / results.FAULT_FILE).write_text("of an earlier run")
    with pytest.raises(ValueError, match="weights"):
        training.run(dataclasses.replace(config, weights="nowhere"), echo=print)
    assert not (folder / results.FAULT_FILE).exists()


@pytest.mark.slow
def test_a_module_of_the_users_own_is_the_users_to_mend(tmp_path, pictures):
    (tmp_path / "nets.py").write_text("def broken():\n    return int('three')\n")
    done = subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), "run", "--backbone", "module:nets:broken",
         "--data", f"folder:{pictures}", "--image-size", "32"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "invalid literal for int() with base 10: 'three'" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("DataLoader worker (pid 12) is killed by signal: Killed. ", "12, was ended by the system"),
        ("DataLoader worker (pid 12) is killed by signal: Bus error. It is", "(/dev/shm)"),
        ("DataLoader worker (pid(s) 12, 13) exited unexpectedly", "12, 13, ended without a word"),
    ],
)
def test_a_worker_that_has_ended_is_told_wherever_torch_raises_it(words, says):
    done = CliRunner().invoke(command(functools.partial(say, RuntimeError(words))))
    assert done.exit_code == 1
    assert says in done.stderr
    assert "Lower the number of workers" in done.stderr
    assert worker_error(ValueError(words)) is None


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("plan", "--preview", "sheet.abc"), 2, "sheet.abc must end in one of: .png,"),
        (("find-rate", "--picture", "curve.txt"), 2, "curve.txt must end in one of: .png,"),
        (("plan", "--seed", str(2**32)), 1, "`seed` must be"),
        (("plan", "--seed", "99999999999999999999"), 1, "`seed` must be"),
        (("pick", "--data", "digits", "--seed", str(2**32)), 2, "is not in the range"),
    ],
)
def test_mistakes_that_libraries_notice_late_are_told_before_any_work(arguments, code, says):
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == code
    assert says in done.stderr
