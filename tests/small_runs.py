"""What tests of whole runs share."""

import kerastl
from kerastl import results
from kerastl.training import keeping


def quiet(line: str) -> None:
    """No progress."""


def at_epoch(monkeypatch, number, action) -> None:
    """Do something when an epoch begins."""
    monkeypatch.setattr(
        keeping.StopOnCtrlC,
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
    monkeypatch.setattr(keeping.StopOnCtrlC, "on_train_batch_end", on_train_batch_end)

    def again():
        left[0] = next(ends, 10**9)

    return again


def finished(folder):
    model = kerastl.load_model(folder / results.MODEL_FILE)
    return results.load_history(folder), model.get_weights(), results.load_metrics(folder).test
