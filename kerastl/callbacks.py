"""Keras callbacks: stop on a loss that is not finite, keep every epoch, show progress."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import keras

from kerastl.errors import TrainingDivergedError
from kerastl.results import CONFIG_FILE, METRICS_FILE, MODEL_FILE, save_history, write_whole


class StopOnNonFiniteLoss(keras.callbacks.Callback):
    """Stop at the first loss that is NaN or infinite, and go back to the last good weights.

    The weights and the moving statistics become those of the last finished
    epoch, or of the start. The optimizer's own state is not brought back:
    compile again, with a smaller rate, before training on.

    Raises:
        TrainingDivergedError: From within `fit`, with the step and the rate
            of each block.
    """

    def __init__(self) -> None:
        super().__init__()
        self._good: list[Any] = []
        self._epoch = 0

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._keep()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._epoch = epoch + 1

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._keep()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        loss = float((logs or {}).get("loss", 0.0))
        if math.isfinite(loss):
            return
        rates = _current_rates(self.model)
        for variable, value in zip(self.model.weights, self._good, strict=True):
            variable.assign(value)
        self._good = []
        at = ", ".join(f"{block} {float(rate):.3g}" for block, rate in rates.items())
        raise TrainingDivergedError(
            f"The loss became {loss} at step {batch + 1} of epoch {self._epoch}"
            + (f", with the learning rates {at}" if at else "")
            + ". The weights are those of the last finished epoch, or of the start. "
            "Train with a smaller rate, a tenth for a first try, or with `global_clipnorm`."
        )

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        self._good = []

    def _keep(self) -> None:
        # Copies: `convert_to_numpy` may give a view of the live tensor.
        self._good = [
            keras.ops.convert_to_numpy(variable.value).copy() for variable in self.model.weights
        ]


class KeepEpochs(keras.callbacks.Callback):
    """Save the model and the history so far after every finished epoch.

    An older run in the folder stays whole until the first epoch is finished.

    Args:
        folder: The run folder.
        config: Text of its config file.

    Attributes:
        epochs: The logs of every finished epoch.
    """

    def __init__(self, folder: Path, config: str) -> None:
        super().__init__()
        self.epochs: list[dict[str, float]] = []
        self._folder = folder
        self._config = config

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        finished = [*self.epochs, {key: float(value) for key, value in (logs or {}).items()}]
        self.save_model()
        if not self.epochs:
            (self._folder / METRICS_FILE).unlink(missing_ok=True)
            write_whole(
                self._folder / CONFIG_FILE,
                lambda path: path.write_text(self._config, encoding="utf-8"),
            )
        save_history(self._folder, finished)
        self.epochs = finished

    def save_model(self) -> None:
        """Save the model as it is now."""
        write_whole(self._folder / MODEL_FILE, lambda path: self.model.save(path))


class StopOnCtrlC(keras.callbacks.Callback):
    """Raise the KeyboardInterrupt of a Ctrl-C that came where Python drops exceptions.

    A fork hook or a finalizer is such a place.

    Args:
        pressed: Whether Ctrl-C was pressed.
    """

    def __init__(self, pressed: Callable[[], bool]) -> None:
        super().__init__()
        self._pressed = pressed

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._pressed():
            raise KeyboardInterrupt


class TellCache(keras.callbacks.Callback):
    """Say what is kept of the frozen blocks' output, or why not.

    Args:
        echo: Takes the line.
    """

    def __init__(self, echo: Callable[[str], None]) -> None:
        super().__init__()
        self._echo = echo

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._echo(f"Cache {self.model.cache_report}")


class Progress(keras.callbacks.Callback):
    """A bar of the steps and one line per epoch, on stderr; Keras's own goes to stdout.

    Args:
        echo: Takes the line of each finished epoch.
    """

    def __init__(self, echo: Callable[[str], None]) -> None:
        super().__init__()
        self._echo = echo
        self._bar: Any = None

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        label = f"Epoch {epoch + 1}/{self.params['epochs']}"
        # Without a terminal, click prints the bare label: the line per epoch is enough there.
        if sys.stderr.isatty():
            self._bar = click.progressbar(
                length=self.params.get("steps"), label=label, file=sys.stderr, show_pos=True
            )

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._bar is not None:
            self._bar.update(1)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._bar is not None:
            self._bar.render_finish()
            self._bar = None
        measured = "  ".join(
            f"{key} {value:.4f}" for key, value in (logs or {}).items() if "/" not in key
        )
        self._echo(f"Epoch {epoch + 1}/{self.params['epochs']}  {measured}")


def _current_rates(model: Any) -> dict[str, float]:
    """The rate of each block that trains; empty for a model without blocks."""
    # A loss-scale optimizer wraps the one with the rates.
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    rates: dict[str, float] = getattr(optimizer, "current_rates", dict)()
    trained = getattr(model, "trainable_blocks", tuple(rates))
    return {block: rate for block, rate in rates.items() if block in trained}
