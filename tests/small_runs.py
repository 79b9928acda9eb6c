"""What tests of whole runs share."""

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
