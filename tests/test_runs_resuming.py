"""A run that was stopped goes on as if it had not been."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_runs import at_epoch, finished, interrupt, kill_and_resume, quiet

import kerastl
from kerastl.evaluation import run_record as results
from kerastl.runs import checkpoints, training
from kerastl.runs.config import RunConfig

OPTIONS = {
    "adam with dropout": {"dropout": 0.5, "epochs": 5},
    "stochastic depth and moving averages": {
        "backbone": "torchvision:efficientnet_b0",
        "weights": "none",
        "strategy": "partial",
        "freeze_through": "stage4",
        "ema": 0.9,
        "epochs": 4,
        "optimizer": "sgd",
    },
    "accumulation over the ends of epochs": {
        "accumulate": 2,
        "strategy": "partial",
        "epochs": 4,
        "optimizer": "sgd",
    },
    "phases, early stopping and the best epoch": {
        "strategy": "gradual",
        "keep_best": "loss",
        "patience": 2,
        "epochs": 6,
        "optimizer": "sgd",
        "dropout": 0.2,
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", OPTIONS)
def test_a_killed_run_ends_as_the_one_that_was_not_stopped(config, tmp_path, monkeypatch, kind):
    options = {"backbone": "keras:MobileNet?alpha=0.25", "weights": "none", **OPTIONS[kind]}
    whole = replace(config, **options, output=str(tmp_path / "whole"))
    training.run(whole, echo=quiet)
    killed = replace(whole, output=str(tmp_path / "killed"))
    checkpoint = kill_and_resume(killed, monkeypatch, [5, 4, 5])
    assert 0 < len(checkpoint.progress.epochs) < len(results.load_history(tmp_path / "whole"))
    expected_history, expected_weights, expected_test = finished(tmp_path / "whole")
    history, weights, test = finished(tmp_path / "killed")
    assert len(history) == len(expected_history)
    for row, expected in zip(history, expected_history, strict=True):
        assert row == pytest.approx(expected, rel=1e-5, abs=1e-7)
    for weight, expected in zip(weights, expected_weights, strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-5, atol=1e-6)
    assert test == pytest.approx(expected_test, rel=1e-5)
    assert not (tmp_path / "killed" / results.CHECKPOINT_FILE).exists()


def stopped(config, monkeypatch):
    """The folder of a run that Ctrl-C stopped in its second epoch."""
    with monkeypatch.context() as patch:
        at_epoch(patch, 1, interrupt)
        measured = training.run(config, echo=quiet)
    assert "kerastl run --resume" in training.stopped_sentence(config, measured)
    return training.to_resume(_folder(config))


def _folder(config):
    return Path(config.output)


def test_images_that_have_changed_since_are_refused(config, tmp_path, monkeypatch):
    shutil.copytree(config.data.removeprefix("folder:"), tmp_path / "pictures")
    config = replace(config, data=f"folder:{tmp_path / 'pictures'}")
    resumed, checkpoint = stopped(config, monkeypatch)
    for number in range(10):
        picture = tmp_path / "pictures" / "dark" / f"{number}.png"
        Image.fromarray(np.zeros((40, 40, 3), "uint8")).save(picture)
    with pytest.raises(ValueError, match=r"`data` must be what it was when the run began"):
        training.run(resumed, echo=quiet, resume=checkpoint)


def test_a_run_that_is_complete_and_a_folder_of_none_cannot_be_resumed(config, tmp_path):
    training.run(replace(config, epochs=1), echo=quiet)
    with pytest.raises(ValueError, match="holds a run that is complete"):
        training.to_resume(_folder(config))
    with pytest.raises(ValueError, match="holds no run"):
        training.to_resume(tmp_path)


def test_a_damaged_checkpoint_is_said_to_be(config, monkeypatch):
    stopped(config, monkeypatch)
    file = _folder(config) / results.CHECKPOINT_FILE
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match="is not a checkpoint of a run, or it is damaged"):
        training.to_resume(_folder(config))


def test_a_checkpoint_of_a_newer_version_says_so(config, monkeypatch):
    monkeypatch.setattr(checkpoints, "FORMAT", 99)
    with monkeypatch.context() as patch:
        at_epoch(patch, 1, interrupt)
        training.run(config, echo=quiet)
    monkeypatch.setattr(checkpoints, "FORMAT", 1)
    with pytest.raises(ValueError, match="must have format 1 or older"):
        training.to_resume(_folder(config))


def test_a_stopped_run_is_not_overwritten_by_accident(config, monkeypatch):
    stopped(config, monkeypatch)
    with pytest.raises(ValueError, match=r"or --resume .* to go on with it"):
        training.run(config, echo=quiet)


def test_an_older_run_can_still_be_resumed_after_an_overwrite_that_kept_nothing(
    config,
    monkeypatch,
):
    _, before = stopped(config, monkeypatch)
    with monkeypatch.context() as patch:
        at_epoch(patch, 0, interrupt)
        training.run(config, echo=quiet, overwrite=True)
    _, after = training.to_resume(_folder(config))
    assert after.progress == before.progress


@pytest.mark.slow
def test_the_best_epoch_is_the_one_that_is_saved(config):
    measured = training.run(
        replace(config, epochs=4, keep_best="accuracy", learning_rate=0.3), echo=quiet
    )
    history = results.load_history(_folder(config))
    best = max(range(len(history)), key=lambda epoch: history[epoch]["val_accuracy"])
    model = kerastl.load_model(_folder(config) / results.MODEL_FILE)
    data = training.load_images(RunConfig(**{**vars(config)}), model)
    loss, accuracy = model.evaluate(data.validation, verbose=0)
    assert accuracy == pytest.approx(history[best]["val_accuracy"])
    assert loss == pytest.approx(history[best]["val_loss"], rel=1e-4)
    assert measured.completed
