"""A run that ended amid an epoch goes on with the epoch's next step."""

import errno
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_runs import Killed, at_epoch, finished, interrupt, kill_and_resume, quiet
from test_runs_resuming import OPTIONS

from kerastl.data import scanning
from kerastl.data.ordering import SeededOrder, images_of_batches
from kerastl.evaluation import run_record as results
from kerastl.runs import checkpoints, training
from kerastl.runs.training import keeping, keeping_steps, phase_loop, running
from kerastl.runs.training.keeping import KeepEpochs

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
    # Features of random weights are nearly the same for all images.
    "views that are kept of weights that tell images apart": {
        "backbone": "bundled:efficientnet_lite0",
        "weights": "default",
        "strategy": "feature-extraction",
        "augment": "strong",
        "cache_views": 2,
        "epochs": 4,
    },
    "mixed images that are kept as they were first": {
        "backbone": "bundled:efficientnet_lite0",
        "weights": "default",
        "strategy": "feature-extraction",
        "mixup": 0.5,
        "cache": "memory",
        "epochs": 4,
    },
}


def same_end(killed, whole):
    (history, weights, test), expected = finished(killed), finished(whole)
    assert len(history) == len(expected[0])
    for row, other in zip(history, expected[0], strict=True):
        assert row == pytest.approx(other, rel=1e-5, abs=1e-7)
        assert list(row) == list(other), "the columns are in another order"
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


@pytest.mark.slow
def test_what_was_broken_is_known_after_a_second_kill(config, tmp_path, monkeypatch):
    monkeypatch.setattr(scanning, "CHECKED_UP_FRONT", 0)
    pictures = tmp_path / "pictures"
    shutil.copytree(config.data.removeprefix("folder:"), pictures)
    for number in range(5):
        (pictures / "dark" / f"{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    config = replace(config, **SMALL | {"batch_size": 1}, data=f"folder:{pictures}", epochs=1)
    config = replace(config, skip_broken=True, checkpoint_every=0.0, batch_norm="frozen")
    whole = training.run(replace(config, output=str(tmp_path / "whole")), echo=quiet)
    killed = replace(config, output=str(tmp_path / "killed"))
    kill_and_resume(killed, monkeypatch, [4, 1, 1])
    same_end(tmp_path / "killed", tmp_path / "whole")
    measured = results.load_metrics(tmp_path / "killed")
    assert measured.skipped_images == whole.skipped_images == 5


@pytest.mark.slow
def test_a_full_disk_at_the_first_checkpoint_leaves_the_older_run(config, monkeypatch):
    training.run(replace(config, epochs=1), echo=quiet)
    before = {path.name: path.read_bytes() for path in Path(config.output).iterdir()}

    def full(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints, "save", full)
    with pytest.raises(OSError, match="No space left"):
        training.run(replace(config, seed=1, checkpoint_every=0.0), echo=quiet, overwrite=True)
    assert {path.name: path.read_bytes() for path in Path(config.output).iterdir()} == before


@pytest.mark.slow
def test_a_kill_between_the_first_checkpoint_and_the_end_of_the_older_run(config, monkeypatch):
    training.run(replace(config, epochs=1), echo=quiet)
    with monkeypatch.context() as patch:
        patch.setattr(KeepEpochs, "remove_other_results", interrupt)
        patch.setattr(running.results, "save_metrics", lambda *_: None)
        config = replace(config, seed=1, epochs=1, checkpoint_every=0.0)
        training.run(config, echo=quiet, overwrite=True)
    resumed, checkpoint = training.to_resume(Path(config.output))
    assert "seed = 0" in (Path(config.output) / results.CONFIG_FILE).read_text()
    training.run(resumed, echo=quiet, resume=checkpoint)
    assert "seed = 1" in (Path(config.output) / results.CONFIG_FILE).read_text()


@pytest.mark.slow
def test_options_that_were_edited_are_put_right(config, monkeypatch):
    with monkeypatch.context() as patch:
        signalled_at(patch, 2, signal.SIGTERM)
        training.run(config, echo=quiet)
    file = Path(config.output) / results.CONFIG_FILE
    text = file.read_text()
    file.write_text(text.replace(f"epochs = {config.epochs}", "epochs = 99"))
    lines = []
    resumed, checkpoint = training.to_resume(Path(config.output))
    training.run(resumed, echo=lines.append, resume=checkpoint)
    assert file.read_text() == text
    assert any(line.startswith("config.toml has the options again") for line in lines)


def test_ctrl_c_after_a_kill_amid_the_first_save_leaves_the_checkpoint(config, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(keeping, "save_history", killed)
        patch.setattr(phase_loop.Training, "leave_nothing_empty", lambda self: None)
        with pytest.raises(Killed):
            training.run(config, echo=quiet)
    resumed, checkpoint = training.to_resume(Path(config.output))
    assert not checkpoint.progress.has_begun
    with monkeypatch.context() as patch:
        signalled_at(patch, 1, signal.SIGINT)
        training.run(resumed, echo=quiet, resume=checkpoint)
    training.to_resume(Path(config.output))


def test_an_error_amid_the_first_save_leaves_a_folder_that_can_be_used(config, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(keeping, "save_history", killed)
        with pytest.raises(Killed):
            training.run(config, echo=quiet)
    assert not Path(config.output).exists()


def killed(*args, **options):
    raise Killed


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
