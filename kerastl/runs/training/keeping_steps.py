"""Keep the steps of an epoch that is under way: by the minutes, and where a signal ends a run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kerastl.data.ordering import SeededOrder, images_of_batches
from kerastl.processes.group import current
from kerastl.runs import checkpoints
from kerastl.runs.interrupts import CTRL_C, Stopping
from kerastl.runs.training.keeping import KeepEpochs


class KeepSteps(keras.callbacks.Callback):
    """Save a checkpoint within an epoch once the last one is some minutes old.

    It comes before what ends a run, and before the callbacks that save. On JAX and TensorFlow
    an epoch whose steps are all done waits for its own end: there Keras cannot go on with none.

    Args:
        keep: What saves.
        data: The images, whose order tells which were drawn.
        minutes: The most that may lie between two checkpoints; 0: after every step.
        steps: Steps of the first epoch that an earlier process has taken.
    """

    def __init__(self, keep: KeepEpochs, data: Any, *, minutes: float, steps: int) -> None:
        super().__init__()
        self._keep = keep
        self._data = data
        self._seconds = 60 * minutes
        self._steps, self._first = 0, steps
        self._epoch = 0
        self._saved_at = time.monotonic()
        self._summed: Sequence[np.ndarray] | None = None

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._epoch = epoch
        self._steps, self._first, self._summed = self._first, 0, None

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._steps += 1
        if time.monotonic() - self._saved_at >= self._seconds:
            self._save()

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        # Validation sums in the same metrics.
        self._summed = checkpoints.summed(self.model)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._saved_at = time.monotonic()

    def save_before_the_end(self, stopping: Stopping) -> None:
        """Save where a signal ends the run.

        Ctrl-C before anything is kept leaves nothing, and neither does a signal where an
        older run is still whole.

        Args:
            stopping: Tells which signal came.
        """
        keep = self._keep
        if self._steps and (
            keep.has_results or (stopping.signal != CTRL_C and not keep.has_older_run)
        ):
            self._save()

    def _save(self) -> None:
        sampler: SeededOrder = self._data.train.sampler
        order = sampler.order(self._epoch)
        broken = self._data.dataset("train").broken.numpy()
        images = images_of_batches(
            order, self._steps, batch_size=self._data.batch_size, broken=broken
        )
        if images == len(order) and keras.backend.backend() != "torch":
            return
        summed = checkpoints.summed(self.model) if self._summed is None else self._summed
        self._keep.save_within_epoch(self._steps, images, summed)
        self._saved_at = time.monotonic()


class StopOnSignal(keras.callbacks.Callback):
    """Let a signal that asks to end wait for the step under way, and for what is being saved.

    It stands before the callbacks that save.

    Args:
        stopping: Tells whether a signal came.
        steps: What keeps the steps of the epoch, or None.
    """

    def __init__(self, stopping: Stopping, steps: KeepSteps | None = None) -> None:
        super().__init__()
        self._stopping = stopping
        self._keeps = steps

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._check()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._stop_or_go_on()

    def on_test_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._stop_or_go_on()

    def _stop_or_go_on(self) -> None:
        try:
            self._check()
        except KeyboardInterrupt:
            self._stopping.wait()
            if self._keeps is not None:
                self._keeps.save_before_the_end(self._stopping)
            raise

    def _check(self) -> None:
        """End here if a signal came, to any of several processes that train together.

        Raises:
            KeyboardInterrupt: If so, on all of them at the same step.
        """
        group = current()
        if group is None:
            self._stopping.check()
            self._stopping.wait()
            return
        self._stopping.wait()
        if group.agree(bool(self._stopping.signal)):
            self._stopping.signal = self._stopping.signal or "SIGTERM"
            raise KeyboardInterrupt(self._stopping.signal)
