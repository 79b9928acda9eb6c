"""What a run keeps while it trains: every epoch, the best one, and word of Ctrl-C."""

import json
import signal

import keras
import numpy as np
import pytest
from test_model_divergence import X, Y, small_model

from kerastl.evaluation import run_record as results
from kerastl.runs.interrupts import Stopping
from kerastl.runs.training.keeping import BestEpoch, KeepEpochs
from kerastl.runs.training.keeping_steps import StopOnSignal
from kerastl.runs.training.progress import EpochLines, JsonLines, StepBar


def test_every_finished_epoch_is_kept(tmp_path):
    (tmp_path / results.METRICS_FILE).write_text("of an older run")
    model, keep, lines = small_model(), KeepEpochs(tmp_path, "seed = 0\n", data=""), []
    progress = EpochLines(lines.append)
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[keep, progress])
    assert len(keep.epochs) == len(results.load_history(tmp_path)) == len(lines) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint.safetensors",
        "config.toml",
        "history.csv",
        "model.keras",
    ]
    kept = keras.saving.load_model(tmp_path / results.MODEL_FILE)
    for weight, expected in zip(kept.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_an_older_run_stays_until_the_first_epoch_is_finished(tmp_path):
    (tmp_path / results.METRICS_FILE).write_text("of an older run")
    KeepEpochs(tmp_path, "seed = 0\n", data="")
    assert [path.name for path in tmp_path.iterdir()] == [results.METRICS_FILE]


def test_a_lost_signal_is_raised_after_the_step():
    stopping = Stopping()
    callback = StopOnSignal(stopping)
    callback.on_epoch_begin(0)
    callback.on_train_batch_end(0)
    stopping.signal = "SIGINT"
    with pytest.raises(KeyboardInterrupt):
        callback.on_train_batch_end(1)


def test_a_signal_waits_for_what_an_epoch_saves():
    stopping = Stopping()
    callback = StopOnSignal(stopping)
    callback.on_train_batch_end(0)
    stopping.came(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        callback.on_epoch_begin(1)


class Scores(keras.callbacks.Callback):
    """Writes given scores into the logs, as if they had been measured, and counts a weight up."""

    def __init__(self, scores):
        super().__init__()
        self.scores = scores

    def on_epoch_end(self, epoch, logs=None):
        logs["score"] = self.scores[epoch]
        self.model.weights[-1].assign([float(epoch)])


def fit_with(best, scores, **options):
    model = small_model()
    callbacks = [Scores(scores), best]
    fitted = model.fit(X, Y, epochs=len(scores), verbose=0, callbacks=callbacks, **options)
    return float(np.asarray(model.weights[-1])[0]), len(fitted.epoch)


@pytest.mark.parametrize(
    ("mode", "patience", "scores", "kept", "epochs"),
    [
        ("max", None, [1, 3, 2, 0], 1, 4),
        ("min", None, [1, 3, 2, 0], 3, 4),
        ("max", 2, [1, 3, 2, 2, 9], 1, 4),
        ("min", 1, [3, 2, 1, 1, 0], 2, 4),
    ],
)
def test_the_best_epochs_weights_come_back(mode, patience, scores, kept, epochs):
    best = BestEpoch("score", mode=mode, patience=patience)
    assert fit_with(best, scores) == (kept, epochs)


def test_early_stopping_goes_on_with_what_it_remembers():
    first = BestEpoch("score", mode="max", patience=3)
    fit_with(first, [5, 1])
    second = BestEpoch(
        "score", mode="max", patience=3, memory=first.memory, weights=first.best_weights
    )
    # One epoch without a better score was before, so two more end it.
    kept, epochs = fit_with(second, [5, 1, 4, 4, 4], initial_epoch=2)
    assert (kept, epochs) == (0, 2)


def test_an_unknown_score_is_named_with_those_that_there_are():
    with pytest.raises(ValueError, match=r"`keep_best` must be a score.*There are: loss, score"):
        fit_with(BestEpoch("val_acuracy"), [1])


@pytest.mark.parametrize("score", ["learning_rate/head", "acuracy"])
def test_a_rate_is_no_score(score):
    with pytest.raises(ValueError, match=r"`keep_best` must be a score.*There are: accuracy"):
        BestEpoch(score).on_epoch_end(0, {"learning_rate/head": 0.1, "val_accuracy": 1.0})


@pytest.mark.parametrize(
    ("score", "larger_is_better"),
    [
        ("loss", False),
        ("val_loss", False),
        ("accuracy", True),
        ("pr_auc", True),
        ("val_pr_auc", True),
        ("mean_absolute_error", False),
        ("val_r2_score", True),
    ],
)
def test_keras_knows_which_of_two_scores_is_better(score, larger_is_better):
    model = small_model()
    auc = keras.metrics.AUC(curve="PR", name="pr_auc")
    model.compile("sgd", "mse", metrics=["accuracy", "mean_absolute_error", "r2_score", auc])
    # Built: the metrics of names are made with the first batch.
    model.evaluate(X, np.clip(Y, 0, 1), verbose=0)
    best = BestEpoch(score)
    best.set_model(model)
    best.on_train_begin()
    for epoch, value in enumerate([2.0, 1.0]):
        best.on_epoch_end(epoch, {score: value})
    assert best.best == (2.0 if larger_is_better else 1.0)


def test_json_lines_are_json():
    lines = []
    model = small_model()
    model.cache_report = "off"
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[JsonLines(lines.append)])
    events = [json.loads(line) for line in lines]
    assert [event["event"] for event in events] == ["fit", "epoch", "epoch"]
    assert events[2]["epoch"] == 2
    assert events[2]["logs"]["loss"] > 0


def test_the_bar_shows_images_per_second_and_rates(capsys, monkeypatch):
    from kerastl.runs.training import progress

    monkeypatch.setattr(progress, "current_rates", lambda model: {"head": 0.01, "stem": 0.0})
    monkeypatch.setattr(
        progress, "tqdm", lambda **options: tqdm_of(**{**options, "mininterval": 0})
    )
    tqdm_of = __import__("tqdm").tqdm
    small_model().fit(X, Y, batch_size=2, verbose=0, callbacks=[StepBar(2)])
    shown = capsys.readouterr().err
    assert "images/s" in shown
    assert "rates 0.01" in shown


def test_tensorboard_gets_every_score_and_rate(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from kerastl.runs.training.tensorboard import FOLDER, TensorBoardLog

    small_model().fit(
        X, Y, epochs=2, verbose=0, callbacks=[TensorBoardLog(tmp_path, finished=0)], shuffle=False
    )
    read = EventAccumulator(str(tmp_path / FOLDER)).Reload()
    assert read.Tags()["scalars"] == ["train/loss"]
    assert [event.step for event in read.Scalars("train/loss")] == [1, 2]


def test_tensorboard_that_is_not_installed_is_said(monkeypatch):
    from kerastl.runs.training import tensorboard

    monkeypatch.setattr(tensorboard, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install \"kerastl\[tensorboard\]\""):
        tensorboard.check_tensorboard()
