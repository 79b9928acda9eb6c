"""A run that ended amid an epoch goes on with the epoch's next step."""

import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_runs import at_epoch, finished, interrupt, kill_and_resume, quiet
from test_runs_resuming import OPTIONS

from kerastl.data.ordering import SeededOrder, images_of_batches
from kerastl.evaluation import run_record as results
from kerastl.runs import training
from kerastl.runs.training import keeping_steps

SMALL = {"backbone": "keras:MobileNet?alpha=0.25", "weights": "none", "batch_size": 4}
MORE = {
    "natural order, mixed images and workers": {
        "strategy": "partial",
        "mixup": 0.2,
        "augment": "standard",
        "workers": 1,
        "epochs": 4,
    },
    "balanced order, views that are kept": {
        "strategy": "feature-extraction",
        "sampling": "balanced",
        "augment": "light",
        "cache_views": 2,
        "epochs": 4,
    },
}


def same_end(killed, whole):
    (history, weights, test), expected = finished(killed), finished(whole)
    assert len(history) == len(expected[0])
    for row, other in zip(history, expected[0], strict=True):
        assert row == pytest.approx(other, rel=1e-5, abs=1e-7)
    for weight, other in zip(weights, expected[1], strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-5, atol=1e-6)
    assert test == pytest.approx(expected[2], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*OPTIONS, *MORE])
def test_a_run_killed_amid_epochs_ends_as_the_one_that_was_not(config, tmp_path, monkeypatch, kind):
    options = {**SMALL, **(OPTIONS | MORE)[kind], "checkpoint_every": 0.0}
    whole = replace(config, **options, output=str(tmp_path / "whole"))
    training.run(whole, echo=quiet)
    killed = replace(whole, output=str(tmp_path / "killed"))
    checkpoint = kill_and_resume(killed, monkeypatch, [1, 5, 3, 2])
    assert checkpoint.progress.steps
    same_end(tmp_path / "killed", tmp_path / "whole")


def signalled_at(monkeypatch, step, number, *, amid="on_train_batch_begin"):
    """Send this process a signal amid a step, or amid one of validation."""
    seen = []

    def begun(self, batch, logs=None):
        seen.append(batch)
        if len(seen) == step:
            signal.raise_signal(number)

    monkeypatch.setattr(keeping_steps.StopOnSignal, amid, begun)


@pytest.mark.slow
@pytest.mark.parametrize("step", [2, 3])
def test_sigterm_amid_the_first_epoch_keeps_its_steps(config, tmp_path, monkeypatch, step):
    config = replace(config, **SMALL, epochs=2)
    training.run(replace(config, output=str(tmp_path / "whole")), echo=quiet)
    with monkeypatch.context() as patch:
        signalled_at(patch, step, signal.SIGTERM)
        measured = training.run(config, echo=quiet)
    assert (measured.steps, measured.epochs, measured.completed) == (step, 0, False)
    said = training.stopped_sentence(config, measured)
    assert f"{step} steps of the first epoch. Go on with: kerastl run --resume" in said
    resumed, checkpoint = training.to_resume(Path(config.output))
    lines = []
    training.run(resumed, echo=lines.append, resume=checkpoint)
    assert f"Resumed after 0 finished epochs and {step} steps of the next" in lines
    same_end(Path(config.output), tmp_path / "whole")


@pytest.mark.slow
def test_a_signal_amid_validation_keeps_the_whole_epoch(config, tmp_path, monkeypatch):
    config = replace(config, **SMALL, epochs=3)
    training.run(replace(config, output=str(tmp_path / "whole")), echo=quiet)
    with monkeypatch.context() as patch:
        signalled_at(patch, 2, signal.SIGTERM, amid="on_test_batch_begin")
        measured = training.run(config, echo=quiet)
    resumed, checkpoint = training.to_resume(Path(config.output))
    assert checkpoint.progress.steps == measured.steps > 1
    training.run(resumed, echo=quiet, resume=checkpoint)
    same_end(Path(config.output), tmp_path / "whole")


@pytest.mark.slow
def test_steps_are_counted_where_broken_images_leave_batches_out(config, tmp_path, monkeypatch):
    pictures = tmp_path / "pictures"
    shutil.copytree(config.data.removeprefix("folder:"), pictures)
    for number in range(7):
        (pictures / "dark" / f"{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    config = replace(config, **SMALL | {"batch_size": 2}, data=f"folder:{pictures}", epochs=4)
    config = replace(config, skip_broken=True, checkpoint_every=0.0, test_split=0.0)
    training.run(replace(config, output=str(tmp_path / "whole")), echo=quiet)
    killed = replace(config, output=str(tmp_path / "killed"))
    kill_and_resume(killed, monkeypatch, [2, 4, 3])
    same_end(tmp_path / "killed", tmp_path / "whole")


def test_ctrl_c_amid_the_first_epoch_leaves_nothing(config, monkeypatch):
    signalled_at(monkeypatch, 2, signal.SIGINT)
    measured = training.run(config, echo=quiet)
    assert (measured.steps, measured.stopped_by) == (0, "SIGINT")
    assert not Path(config.output).exists()


def test_an_older_run_stays_whole_where_a_signal_comes_amid_the_first_epoch(config, monkeypatch):
    with monkeypatch.context() as patch:
        at_epoch(patch, 1, interrupt)
        training.run(config, echo=quiet)
    before = {path.name: path.read_bytes() for path in Path(config.output).iterdir()}
    signalled_at(monkeypatch, 2, signal.SIGTERM)
    measured = training.run(replace(config, seed=1), echo=quiet, overwrite=True)
    assert (measured.steps, measured.stopped_by) == (0, "SIGTERM")
    assert {path.name: path.read_bytes() for path in Path(config.output).iterdir()} == before


def test_an_older_run_makes_room_for_the_first_checkpoint(config, monkeypatch):
    training.run(replace(config, epochs=1), echo=quiet)
    signalled_at(monkeypatch, 2, signal.SIGINT)
    config = replace(config, seed=1, checkpoint_every=0.0)
    measured = training.run(config, echo=quiet, overwrite=True)
    assert measured.steps == 2
    left = {path.name for path in Path(config.output).iterdir()}
    assert results.MODEL_FILE not in left, "a model of the older run beside the options of this one"
    assert {results.CHECKPOINT_FILE, results.CONFIG_FILE, results.METRICS_FILE} <= left
    assert training.to_resume(Path(config.output))[0].seed == 1


def test_an_order_goes_on_amid_an_epoch():
    sampler = SeededOrder(10, seed=3)
    sampler.set_epoch(2)
    whole, after = list(sampler), list(sampler)
    sampler.set_epoch(2, start=4)
    assert list(sampler) == whole[4:] == list(sampler.order(2))[4:]
    assert sampler.epoch == 3
    assert list(sampler) == after
    sampler.set_epoch(2, start=10)
    assert list(sampler) == []
    assert list(sampler) == after


def test_batches_of_broken_images_alone_are_not_counted():
    order = [5, 4, 3, 2, 1, 0, 6]
    broken = np.isin(np.arange(7), [3, 2, 0])
    cut = [images_of_batches(order, count, batch_size=2, broken=broken) for count in range(5)]
    assert cut == [0, 2, 6, 7, 7]
