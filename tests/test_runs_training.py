"""A run's folder: never lost, never half written; Ctrl-C, divergence, a full disk."""

import errno
import os
import shutil
from dataclasses import replace

import keras
import pytest
from small_runs import at_epoch, interrupt, quiet

import kerastl
from kerastl.errors import TrainingDivergedError
from kerastl.evaluation import run_record as results
from kerastl.runs import training


def test_ctrl_c_keeps_the_last_finished_epoch(config, tmp_path, monkeypatch):
    at_epoch(monkeypatch, 1, interrupt)
    measured = training.run(config, echo=quiet)
    assert (measured.completed, measured.epochs, measured.test) == (False, 1, {})
    assert "after 1 finished epochs" in training.stopped_sentence(config, measured)
    assert str(tmp_path) in training.stopped_sentence(config, measured)
    assert len(results.load_history(tmp_path / "run")) == 1
    assert results.load_metrics(tmp_path / "run").train
    kerastl.load_model(tmp_path / "run" / results.MODEL_FILE)


def test_ctrl_c_before_the_first_epoch_ends_leaves_no_folder(config, tmp_path, monkeypatch):
    at_epoch(monkeypatch, 0, interrupt)
    measured = training.run(config, echo=quiet)
    assert "No epoch was finished" in training.stopped_sentence(config, measured)
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_says_what_was_kept(config, tmp_path, monkeypatch):
    def poison(callback):
        callback.model.trainable_variables[0].assign(
            keras.ops.full_like(callback.model.trainable_variables[0], float("nan"))
        )

    at_epoch(monkeypatch, 1, poison)
    with pytest.raises(TrainingDivergedError, match=r"step 1 of epoch 2.*head .*Kept in"):
        training.run(config, echo=quiet)
    assert results.load_metrics(tmp_path / "run").completed is False


def test_another_run_is_never_overwritten_unless_asked(config, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / results.METRICS_FILE).write_text("precious")
    with pytest.raises(ValueError, match=r"must not hold another run.*--overwrite"):
        training.run(config, echo=quiet)
    assert (folder / results.METRICS_FILE).read_text() == "precious"
    measured = training.run(replace(config, epochs=1), echo=quiet, overwrite=True)
    assert results.load_metrics(folder).epochs == measured.epochs == 1


def test_an_interrupted_overwrite_keeps_the_older_run(config, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / results.METRICS_FILE).write_text("precious")
    at_epoch(monkeypatch, 0, interrupt)
    training.run(config, echo=quiet, overwrite=True)
    assert (folder / results.METRICS_FILE).read_text() == "precious"


def test_an_output_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises((ValueError, OSError), match="`output` must be a folder"):
            training.check_output(path, overwrite=True)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="cannot be written to"):
        training.check_output(tmp_path / "new", overwrite=False)


def test_too_little_space_is_said_before_training(config, tmp_path, monkeypatch):
    usage = shutil._ntuple_diskusage(10**9, 10**9, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OSError, match="MB free"):
        training.run(config, echo=quiet)
    assert not (tmp_path / "run").exists()


def test_a_disk_that_fills_up_is_one_sentence(config, monkeypatch):
    def full(self, path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(kerastl.ImageClassifier, "save", full)
    with pytest.raises(OSError, match="No space left on the disk"):
        training.run(config, echo=quiet)


def test_options_of_the_optimizer_reach_it(config):
    prepared = training.prepare(
        replace(
            config, optimizer="sgd", weight_decay=0.01, global_clipnorm=1.0, accumulate=2, ema=0.9
        ),
        echo=quiet,
    )
    template = prepared.model.optimizer
    assert (template.momentum, template.weight_decay, template.use_ema) == (0.9, 0.01, True)
    assert (template.global_clipnorm, template.gradient_accumulation_steps) == (1.0, 2)
    assert prepared.total_steps == 2 * 3


def test_the_precision_is_the_models_and_not_left_behind(config):
    prepared = training.prepare(replace(config, precision="mixed_bfloat16"), echo=quiet)
    assert prepared.model.get_layer("head").compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.slow
def test_moving_averages_are_what_is_saved(config, tmp_path):
    training.run(replace(config, epochs=1, ema=0.5), echo=quiet)
    model = kerastl.load_model(tmp_path / "run" / results.MODEL_FILE)
    data = training.load_images(config, model)
    from kerastl.evaluation import scoring

    scores = scoring.evaluate(model, data.test, data.class_names)
    assert scores.loss == pytest.approx(results.load_metrics(tmp_path / "run").test["loss"])


@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_a_process_that_runs_torch_refuses_another_backend(config, backend):
    with pytest.raises(ValueError, match="`backend` must be 'torch', which Keras already runs on"):
        training.run(replace(config, backend=backend), echo=quiet)
