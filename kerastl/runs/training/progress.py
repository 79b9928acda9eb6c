"""Show progress: a bar, a line per epoch, JSON lines, or nothing."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import keras
from tqdm import tqdm

from kerastl.optimizers.rates import current_rates

Echo = Callable[[str], None]


def watchers(
    mode: str, echo: Echo, *, batch_size: int, images: int = 0
) -> list[keras.callbacks.Callback]:
    """The callbacks that show a `fit`.

    Args:
        mode: One of `kerastl.runs.config.PROGRESS_MODES`.
        echo: Takes lines.
        batch_size: Images per step.
        images: Of the first epoch that an earlier process has had.
    """
    if mode == "quiet":
        return []
    if mode == "json":
        return [JsonLines(echo)]
    shown: list[keras.callbacks.Callback] = [TellCache(echo)]
    if mode == "bar" or (mode == "auto" and sys.stderr.isatty()):
        shown.append(StepBar(batch_size, images))
    return [*shown, EpochLines(echo)]


class TellCache(keras.callbacks.Callback):
    """Say what is kept of the frozen blocks' output, or why not.

    Args:
        echo: Takes the line.
    """

    def __init__(self, echo: Echo) -> None:
        super().__init__()
        self._echo = echo

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._echo(f"Cache {self.model.cache_report}")


class StepBar(keras.callbacks.Callback):
    """A bar of the epoch on stderr: images per second, time left, loss and rates.

    Args:
        batch_size: Images per step.
        images: Of the first epoch that an earlier process has had.
    """

    def __init__(self, batch_size: int, images: int = 0) -> None:
        super().__init__()
        self._batch_size = batch_size
        self._images = images
        self._bar: Any = None

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        steps = self.params.get("steps")
        self._bar = tqdm(
            total=steps and steps * self._batch_size,
            initial=self._images,
            desc=f"Epoch {epoch + 1}/{self.params['epochs']}",
            unit=" images",
            leave=False,
            file=sys.stderr,
        )
        self._images = 0

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._bar.update(self._batch_size):
            rates = {f"{rate:.2g}" for rate in current_rates(self.model).values() if rate}
            loss = float((logs or {}).get("loss", 0.0))
            self._bar.set_postfix_str(f"loss {loss:.4f}, rates {' '.join(sorted(rates))}", False)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._bar.close()


class _TimedEpochs(keras.callbacks.Callback):
    """What both kinds of lines share.

    Args:
        echo: Takes the lines.
    """

    def __init__(self, echo: Echo) -> None:
        super().__init__()
        self.echo = echo
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since the epoch began."""
        return time.perf_counter() - self._started


class EpochLines(_TimedEpochs):
    """A line for every finished epoch."""

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        measured = "  ".join(
            f"{key} {value:.4f}" for key, value in (logs or {}).items() if "/" not in key
        )
        of_all = f"{epoch + 1}/{self.params['epochs']}"
        self.echo(f"Epoch {of_all}  {measured}  ({self.seconds:.1f} s)")


class JsonLines(_TimedEpochs):
    """A JSON object for the start of each `fit` and for every finished epoch."""

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self.echo(json.dumps({"event": "fit", "cache": self.model.cache_report}))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        measured = {key: float(value) for key, value in (logs or {}).items()}
        about = {"epoch": epoch + 1, "epochs": self.params["epochs"], "seconds": self.seconds}
        self.echo(json.dumps({"event": "epoch", **about, "logs": measured}))
