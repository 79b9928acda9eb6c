"""What happens to a machine loses no run, and mixes no two."""

import errno
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from small_runs import at_epoch, interrupt, quiet
from test_internals_folder_lock import said, start, told

import kerastl
from kerastl.commands import main
from kerastl.errors import FolderInUseError, is_fault, sentence
from kerastl.evaluation import run_record as results
from kerastl.internals.folder_lock import LOCK_FILE
from kerastl.runs import training
from kerastl.runs.comparison.compare import compare

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def small(config):
    """One block and its head, trained for three epochs."""
    return replace(
        config, epochs=3, backbone="keras:MobileNet?alpha=0.25", weights="none", solver="train"
    )


@pytest.fixture
def held(config):
    """Another process that holds the run's folder."""
    process = start(config.output)
    told(process)
    assert said(process) == "held"
    yield process
    process.communicate("\n")


def names(folder):
    return {path.name for path in Path(folder).iterdir()}


def test_a_run_in_a_folder_that_is_held_says_who_holds_it(config, held):
    for overwrite in (False, True):
        with pytest.raises(FolderInUseError, match=f"process {held.pid} on "):
            training.run(config, echo=quiet, overwrite=overwrite)
    assert names(config.output) == {LOCK_FILE}


@pytest.mark.parametrize(
    "options", [("--resume",), ("--overwrite", "--epochs", "1", "--output"), ("--output",)]
)
def test_the_command_says_who_holds_the_folder(config, held, options):
    done = CliRunner().invoke(main, ["run", *options, config.output])
    assert done.exit_code == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("Error: A run folder must be used by one process at a time.")
    assert f"process {held.pid} on " in line


def test_a_search_and_a_comparison_hold_their_folders_too(config, held):
    done = CliRunner().invoke(main, ["pick", "--data", config.data, "--output", config.output])
    assert done.exit_code == 1
    assert f"process {held.pid} on " in done.stderr
    with pytest.raises(FolderInUseError):
        compare(replace(config, solver="train"), ["torch", "jax"], echo=quiet)


def test_a_folder_that_another_run_has_filled_meanwhile_is_refused(config, monkeypatch):
    from kerastl.runs.training import running

    original = running.prepare

    def prepare(*args, **kwargs):
        Path(config.output).mkdir()
        (Path(config.output) / results.METRICS_FILE).write_text("precious")
        return original(*args, **kwargs)

    monkeypatch.setattr(running, "prepare", prepare)
    with pytest.raises(ValueError, match="must not hold another run"):
        training.run(config, echo=quiet)
    assert names(config.output) == {results.METRICS_FILE}


@pytest.mark.slow
def test_a_run_may_lie_among_its_images(config, tmp_path, pictures):
    shutil.copytree(pictures, tmp_path / "data")
    config = replace(config, data=f"folder:{tmp_path / 'data'}", epochs=None)
    measured = training.run(replace(config, output=str(tmp_path / "data" / "run")), echo=quiet)
    assert measured.completed
    assert LOCK_FILE not in names(tmp_path / "data" / "run")


def test_litter_of_killed_processes_is_removed_by_the_next_run(config):
    folder = Path(config.output)
    (folder / ".unfinished-4194305-here-0123abcd").mkdir(parents=True)
    (folder / ".unfinished-4194305-here-0123abcd" / ".tmpAbCdEf").touch()
    (folder / ".unfinished-x8d_2k1").mkdir()
    for name in (".unfinished-4194305-model.keras", ".tmpAb3dE9", LOCK_FILE):
        (folder / name).touch()
    training.run(replace(config, epochs=None), echo=quiet)
    assert not {name for name in names(folder) if name.startswith(".")}


def end_at(monkeypatch, epoch, action):
    at_epoch(monkeypatch, epoch, lambda callback: action())


def ended_with(config):
    with pytest.raises(OSError) as raised:
        training.run(config, echo=quiet)
    assert not is_fault(raised.value)
    return sentence(raised.value)


@pytest.mark.slow
def test_a_folder_that_is_removed_in_mid_run_ends_it_in_one_sentence(small, monkeypatch):
    end_at(monkeypatch, 1, lambda: shutil.rmtree(small.output))
    assert "removed or replaced since the run began" in ended_with(small)
    assert not Path(small.output).exists()


@pytest.mark.slow
def test_a_folder_that_is_anothers_by_now_is_left_alone(small, monkeypatch):
    others = []

    def replaced():
        shutil.rmtree(small.output)
        others.append(start(small.output))
        told(others[0])
        assert said(others[0]) == "held"

    end_at(monkeypatch, 1, replaced)
    assert "removed or replaced since the run began" in ended_with(small)
    assert names(small.output) == {LOCK_FILE}
    others[0].communicate("\n")


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_disk_that_fails_in_mid_run_keeps_the_last_epoch(small, monkeypatch, number):
    save = kerastl.ImageClassifier.save

    def failing():
        def fail(self, path, *args, **kwargs):
            Path(path).write_bytes(b"half")
            raise OSError(number, os.strerror(number), str(path))

        monkeypatch.setattr(kerastl.ImageClassifier, "save", fail)

    end_at(monkeypatch, 1, failing)
    said = ended_with(small)
    assert said.startswith(
        ("No space left on the disk", "Read-only file system", "Input/output error")
    )
    assert str(Path(small.output) / results.MODEL_FILE) in said
    assert said.endswith(f"Go on with: kerastl run --resume {small.output}")
    assert len(results.load_history(Path(small.output))) == 1
    kerastl.load_model(Path(small.output) / results.MODEL_FILE)
    monkeypatch.setattr(kerastl.ImageClassifier, "save", save)
    end_at(monkeypatch, -1, quiet)
    resumed, checkpoint = training.to_resume(Path(small.output))
    assert training.run(resumed, echo=quiet, resume=checkpoint).epochs == 3


@pytest.mark.slow
@pytest.mark.parametrize("change", ["broken", "removed", "another"])
def test_images_that_change_in_mid_run_are_told(small, tmp_path, pictures, monkeypatch, change):
    shutil.copytree(pictures, tmp_path / "data")
    config = replace(small, data=f"folder:{tmp_path / 'data'}", cache="off")

    def changed():
        for image in (tmp_path / "data" / "dark").glob("*.png"):
            image.unlink()
            if change == "broken":
                image.write_bytes(b"no image")
            elif change == "another":
                Image.fromarray(np.full((32, 32, 3), 99, "uint8")).save(image)

    if change == "another":
        at_epoch(monkeypatch, 1, lambda callback: (changed(), interrupt(callback)))
        training.run(config, echo=quiet)
    else:
        end_at(monkeypatch, 1, changed)
        with pytest.raises(ValueError, match=r"cannot be decoded: .*dark") as raised:
            training.run(config, echo=quiet)
        assert not is_fault(raised.value)
    assert len(results.load_history(Path(config.output))) == 1
    if change == "another":
        resumed, checkpoint = training.to_resume(Path(config.output))
        with pytest.raises(ValueError, match="have changed since"):
            training.run(resumed, echo=quiet, resume=checkpoint)


def two_at_once(*options):
    """Two runs that are started together: exit code and last line of each, as they end."""
    both = [
        subprocess.Popen(
            [sys.executable, "cli.py", "run", *map(str, options)],
            cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for _ in range(2)
    ]  # fmt: skip
    ended = [process.communicate()[1].strip().splitlines()[-1] for process in both]
    return sorted((process.returncode, line) for process, line in zip(both, ended, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(10))
def test_of_two_runs_at_once_one_runs_and_one_says_why_not(pictures, tmp_path, attempt):
    options = ("--data", f"folder:{pictures}", "--image-size", "32", "--workers", "0")
    options += ("--solver", "train", "--strategy", "full", "--batch-size", "4")
    folder = tmp_path / "run"
    (first, _), (second, line) = two_at_once(*options, "--epochs", "8", "--output", folder)
    assert (first, second) == (0, 1)
    assert "A run folder must be used by one process at a time" in line or "another run" in line
    assert len(results.load_history(folder)) == 8
    assert not {name for name in names(folder) if name.startswith(".")}


@pytest.mark.slow
def test_of_two_resumes_at_once_one_goes_on_and_one_says_why_not(small, monkeypatch):
    at_epoch(monkeypatch, 1, interrupt)
    training.run(replace(small, epochs=12), echo=quiet)
    (first, _), (second, line) = two_at_once("--resume", small.output)
    assert (first, second) == (0, 1)
    assert "used by one process at a time" in line or "a run that is complete" in line
    assert len(results.load_history(Path(small.output))) == 12
