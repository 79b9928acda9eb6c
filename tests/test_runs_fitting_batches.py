"""`--batch-size auto`: what a run finds, writes down, and does again without a trial."""

import re
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from small_runs import Killed, finished, killed_at, quiet

from kerastl.commands import main
from kerastl.errors import OutOfMemoryError, UnknownNameError
from kerastl.evaluation.run_record import load_history
from kerastl.model import batch_sizes
from kerastl.runs import config_file, training
from kerastl.runs.comparison.compare import compare
from kerastl.runs.config import RunConfig
from kerastl.runs.training import preparing

BACKBONE = "torchvision:squeezenet1_1"


@pytest.fixture
def small(config):
    """A run of 12 training images, of which every block trains."""
    return replace(
        config, backbone=BACKBONE, weights="none", strategy="full", batch_size="auto", epochs=2
    )


def limited(monkeypatch, images):
    """Let a step have memory for so many images, whatever their size."""

    def fails_above(self, x, *args, **kwargs):
        if len(x) > images:
            raise MemoryError
        return train_on_batch(self, x, *args, **kwargs)

    train_on_batch = keras.Model.train_on_batch
    monkeypatch.setattr(preparing.ImageClassifier, "train_on_batch", fails_above, raising=False)


def no_trial(*args, **kwargs):
    raise AssertionError("A trial, where the size is known.")


def settings(folder):
    values = config_file.read(Path(folder) / "config.toml")
    return values["batch_size"], values["accumulate"]


@pytest.mark.slow
def test_what_is_found_is_said_once_written_down_and_repeats_without_a_trial(
    small, tmp_path, monkeypatch
):
    limited(monkeypatch, 5)
    lines = []
    training.run(small, echo=lines.append)
    (told,) = [line for line in lines if line.startswith("Batch size")]
    assert told.startswith("Batch size 4: a step takes ")
    assert told.endswith("; the gradients of 3 batches make one update")
    assert settings(small.output) == (4, 3)

    monkeypatch.setattr(preparing, "fitting_in_phases", no_trial)
    again = RunConfig(**config_file.read(Path(small.output) / "config.toml"))
    again = replace(again, output=str(tmp_path / "again"))
    training.run(again, echo=quiet)
    assert settings(again.output) == (4, 3)
    first, second = finished(Path(small.output)), finished(Path(again.output))
    assert first[0] == second[0]
    for value, expected in zip(second[1], first[1], strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.mark.slow
def test_a_trial_changes_nothing_of_the_run(small, tmp_path):
    training.run(small, echo=quiet)
    assert settings(small.output) == (32, 1)
    fixed = replace(small, batch_size=32, output=str(tmp_path / "fixed"))
    training.run(fixed, echo=quiet)
    assert load_history(Path(small.output)) == load_history(Path(fixed.output))


def test_a_stopped_run_goes_on_with_what_was_found(small, monkeypatch):
    limited(monkeypatch, 5)
    killed_at(monkeypatch, [5])
    with pytest.raises(Killed):
        training.run(small, echo=quiet)
    monkeypatch.setattr(preparing, "fitting_in_phases", no_trial)
    config, checkpoint = training.to_resume(Path(small.output))
    assert (config.batch_size, config.accumulate) == (4, 3)
    del checkpoint


def test_an_update_of_several_usual_batches_is_kept_too(small, monkeypatch):
    limited(monkeypatch, 5)
    prepared = training.prepare(replace(small, accumulate=2), echo=quiet)
    assert (prepared.config.batch_size, prepared.config.accumulate) == (4, 6)
    assert prepared.model.optimizer.gradient_accumulation_steps == 6
    assert prepared.data.batch_size == 4


@pytest.mark.slow
def test_every_phase_must_fit(small, monkeypatch):
    frozen = []
    original = batch_sizes.fitting

    def watching(model, *args, **kwargs):
        frozen.append(len(model.trainable_blocks))
        return original(model, *args, **kwargs)

    monkeypatch.setattr("kerastl.runs.training.fitting_batches.fitting", watching)
    prepared = training.prepare(replace(small, strategy="gradual", epochs=3), echo=quiet)
    assert len(frozen) == len(prepared.phases) == 3
    assert frozen == sorted(frozen)
    assert prepared.model.trainable_blocks == ("head",)


def test_where_the_head_is_solved_and_the_rest_open_every_block_is_tried(small, monkeypatch):
    limited(monkeypatch, 5)
    open_run = replace(small, strategy="auto", epochs=None)
    prepared = training.prepare(open_run, echo=quiet)
    assert prepared.is_open
    # Batches of 16 of what are few images, 12: their norms keep their statistics, if any.
    assert (prepared.config.batch_size, prepared.config.accumulate) == (4, 3)
    plain = training.prepare(replace(open_run, batch_size=None), echo=quiet)
    assert prepared.config.epochs == plain.config.epochs


def test_a_head_that_is_only_solved_predicts(small, monkeypatch):
    limited(monkeypatch, 0)
    solved = replace(small, strategy="feature-extraction", epochs=None)
    prepared = training.prepare(solved, echo=quiet)
    assert prepared.is_only_solved
    assert (prepared.config.batch_size, prepared.config.accumulate) == (16, 1)


def test_where_not_even_the_smallest_batch_fits_the_run_says_so(small, monkeypatch):
    limited(monkeypatch, 0)
    with pytest.raises(OutOfMemoryError, match="`batch_size` must leave a step room"):
        training.run(small, echo=quiet)
    assert not Path(small.output).exists()


def test_the_plan_shows_it_and_writes_it(small, tmp_path, monkeypatch):
    limited(monkeypatch, 5)
    file = tmp_path / "planned.toml"
    flags = ["--data", small.data, "--backbone", BACKBONE, "--weights", "none", "--epochs", "2"]
    flags += ["--image-size", "32", "--strategy", "full", "--batch-size", "auto"]
    shown = CliRunner().invoke(main, ["plan", *flags, "--workers", "0", "--write", str(file)])
    assert shown.exit_code == 0, shown.output
    assert re.search(r"^memory +Batch size 4: a step takes", shown.stdout, re.MULTILINE)
    assert "in 2 epochs of batches of 4, 3 of which make one update" in shown.stdout
    values = config_file.read(file)
    assert (values["batch_size"], values["accumulate"]) == (4, 3)


def test_auto_is_the_only_word(tmp_path):
    assert RunConfig(batch_size="auto").batch_size == "auto"
    file = tmp_path / "config.toml"
    file.write_text('batch_size = "auto"\n')
    assert config_file.read(file) == {"batch_size": "auto"}
    file.write_text('batch_size = "most"\n')
    with pytest.raises(ValueError, match=r"`batch_size` must be a whole number or auto"):
        config_file.read(file)
    with pytest.raises((ValueError, UnknownNameError, TypeError)):
        RunConfig(batch_size="most")
    shown = CliRunner().invoke(main, ["plan", "--batch-size", "most"])
    assert shown.exit_code == 2
    assert "'most' is neither a whole number nor auto" in shown.output
    shown = CliRunner().invoke(main, ["plan", "--batch-size", "0"])
    assert shown.exit_code == 1
    assert "`batch_size` must be 1 or more" in shown.output


def test_another_batch_size_than_the_files_is_of_an_update_by_itself():
    found = {"batch_size": 4, "accumulate": 8}
    assert config_file.merged(found, {"batch_size": 32}).accumulate == 1
    assert config_file.merged(found, {"batch_size": 32, "accumulate": 2}).accumulate == 2
    assert config_file.merged(found, {"epochs": 2}).accumulate == 8


def test_a_comparison_wants_a_number(small, tmp_path):
    with pytest.raises(ValueError, match="`batch_size` must be a number for a comparison"):
        compare(replace(small, output=str(tmp_path / "c")), ["torch", "jax"], echo=quiet)
