"""What tests of whole runs share."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kerastl
from kerastl.evaluation import run_record as results
from kerastl.runs import training
from kerastl.runs.training import keeping_steps


def write_pictures(folder, *, per_class, size):
    """Two classes of plain images, `dark` and `light`."""
    for name, level in (("dark", 20), ("light", 220)):
        (folder / name).mkdir()
        for number in range(per_class):
            pixels = np.full((size, size, 3), level + number, "uint8")
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def quiet(line: str) -> None:
    """No progress."""


def at_epoch(monkeypatch, number, action) -> None:
    """Do something when an epoch begins."""
    monkeypatch.setattr(
        keeping_steps.StopOnSignal,
        "on_epoch_begin",
        lambda self, epoch, logs=None: action(self) if epoch == number else None,
    )


def interrupt(callback) -> None:
    raise KeyboardInterrupt


class Killed(BaseException):
    """As sudden as a signal."""


def killed_at(monkeypatch, steps):
    """End each run at a step, counted from its own start, one after the other."""
    ends = iter(steps)

    def on_train_batch_end(self, batch, logs=None):
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    left = [next(ends)]
    monkeypatch.setattr(keeping_steps.StopOnSignal, "on_train_batch_end", on_train_batch_end)

    def again():
        left[0] = next(ends, 10**9)

    return again


def finished(folder):
    model = kerastl.load_model(folder / results.MODEL_FILE)
    return results.load_history(folder), model.get_weights(), results.load_metrics(folder).test


def kill_and_resume(config, monkeypatch, steps):
    """Run to the end, killed at a step of each of the first processes; the last checkpoint."""
    folder = Path(config.output)
    again = killed_at(monkeypatch, steps)
    with pytest.raises(Killed):
        training.run(config, echo=quiet)
    for _ in steps[1:]:
        again()
        resumed, checkpoint = training.to_resume(folder, safe_mode=False)
        with pytest.raises(Killed):
            training.run(resumed, echo=quiet, resume=checkpoint)
    again()
    resumed, checkpoint = training.to_resume(folder, safe_mode=False)
    training.run(resumed, echo=quiet, resume=checkpoint)
    return checkpoint
