"""Signals that ask a run to end, to it alone or, as a terminal does, to all its processes."""

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from small_runs import finished as all_finished
from small_runs import quiet
from test_model_divergence import X, Y, small_model

from kerastl.evaluation import run_record as results
from kerastl.runs import interrupts, training
from kerastl.runs.interrupts import SIGNALS, noticing_signals
from kerastl.runs.training import keeping_steps

ROOT = Path(__file__).resolve().parents[1]
NOTHING = "No epoch was finished, and nothing was kept."


@pytest.fixture
def folder(tmp_path):
    for name in ("dark", "light"):
        (tmp_path / name).mkdir()
        for number in range(10):
            pixels = np.random.default_rng(number).integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    return tmp_path


def start(folder, output) -> subprocess.Popen:
    command = [
        sys.executable, "cli.py", "run", "--data", f"folder:{folder}",
        "--epochs", "500", "--batch-size", "2", "--image-size", "32", "--workers", "2",
        "--output", str(output),
    ]  # fmt: skip
    return subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True
    )


def signalled(folder, output, *, after, number, whole_group):
    """Start a run, signal it after a line, and give its exit code and its last line."""
    process = start(folder, output)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(after):
            break
    (os.killpg if whole_group else os.kill)(process.pid, number)
    _, rest = process.communicate(timeout=60)
    return process.returncode, (rest.strip() or line).splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "whole_group", "after", "says", "code"),
    [
        (signal.SIGINT, True, "Epoch 2/", "Kept in", 130),
        (signal.SIGINT, True, "Strategy", NOTHING, 130),
        (signal.SIGTERM, False, "Epoch 2/", "Kept in", 143),
        (signal.SIGTERM, True, "Epoch 2/", "Kept in", 143),
        (signal.SIGHUP, True, "Epoch 1/", "Kept in", 143),
        (signal.SIGUSR1, True, "Epoch 1/", "Kept in", 143),
        (signal.SIGTERM, False, "Backbone", NOTHING, 143),
    ],
)
def test_a_signal_stops_a_run_with_workers_in_one_sentence(
    folder, tmp_path, number, whole_group, after, says, code
):
    output = tmp_path / "run"
    ended, last = signalled(folder, output, after=after, number=number, whole_group=whole_group)
    assert last.startswith(f"Error: Stopped. {says}")
    assert ended == code
    there = {path.name for path in output.iterdir()} if output.exists() else set()
    assert there == (set() if says == NOTHING else {*results.RUN_FILES, results.SPLIT_FILE})
    if there:
        assert last.endswith(f"Go on with: kerastl run --resume {output}")
        measured = results.load_metrics(output)
        assert (measured.completed, measured.stopped_by) == (False, signal.Signals(number).name)


@pytest.mark.parametrize("name", [name for name in SIGNALS if hasattr(signal, name)])
def test_a_signal_is_noticed_and_still_raised(name):
    number = getattr(signal, name)
    # Whoever runs the tests under `nohup` has one ignored.
    of_tests = signal.signal(number, signal.default_int_handler)
    try:
        with noticing_signals() as stopping:
            assert not stopping.signal
            with pytest.raises(KeyboardInterrupt, match=name):
                signal.raise_signal(number)
            assert stopping.signal == name
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, of_tests)


def test_a_signal_waits_for_the_step_and_a_second_one_a_second_later_does_not(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(interrupts.time, "monotonic", lambda: now[0])
    with noticing_signals() as stopping:
        stopping.wait()
        signal.raise_signal(signal.SIGTERM)
        now[0] = 0.5  # as whoever ends a group of processes may do
        signal.raise_signal(signal.SIGTERM)
        now[0] = 2.0
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
            stopping.check()


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="not on Windows")
def test_nohup_lets_a_run_go_on():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with noticing_signals() as stopping:
            signal.raise_signal(signal.SIGHUP)
            assert not stopping.signal
    finally:
        signal.signal(signal.SIGHUP, before)


def test_fit_installs_no_handlers():
    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    before = [signal.getsignal(number) for number in numbers]
    during = []
    model = small_model()
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: during.append(list(map(signal.getsignal, numbers)))
    )
    model.fit(X, Y, verbose=0, callbacks=[watch])
    assert during
    assert all(handlers == before for handlers in during)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SIGNALS if hasattr(signal, name)])
def test_a_run_finishes_its_step_and_goes_on_to_the_same_history(config, tmp_path, name):
    """The signal comes amid the second epoch's first step."""
    config = replace(config, epochs=3, backbone="keras:MobileNet?alpha=0.25", weights="none")
    whole = replace(config, output=str(tmp_path / "whole"))
    training.run(whole, echo=quiet)
    finished_steps = []

    def begun(self, batch, logs=None):
        self._stopping.wait()
        if len(finished_steps) == 4:
            signal.raise_signal(getattr(signal, name))

    def ended(self, batch, logs=None):
        finished_steps.append(batch)
        self._stopping.check()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keeping_steps.StopOnSignal, "on_train_batch_begin", begun)
        patch.setattr(keeping_steps.StopOnSignal, "on_train_batch_end", ended)
        measured = training.run(config, echo=quiet)
    assert (measured.completed, measured.stopped_by) == (False, name)
    assert len(finished_steps) == 5
    resumed, checkpoint = training.to_resume(Path(config.output))
    assert training.run(resumed, echo=quiet, resume=checkpoint).stopped_by == ""
    for ours, theirs in zip(
        *(all_finished(Path(each.output)) for each in (config, whole)), strict=True
    ):
        assert_same(ours, theirs)


def assert_same(ours, theirs):
    if isinstance(ours, dict):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-6)
        return
    for one, other in zip(ours, theirs, strict=True):
        if isinstance(one, dict):
            assert one == pytest.approx(other, rel=1e-4, abs=1e-6)
        else:
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_another_thread_leaves_the_signals_alone():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def run():
        with noticing_signals() as stopping:
            seen.append((stopping.signal, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [("", before)]
