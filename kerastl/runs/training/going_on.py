"""The first epoch of a resumed run: it begins where a checkpoint was written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras

from kerastl.data.batches import expect_fewer_batches
from kerastl.runs import checkpoints
from kerastl.runs.checkpoints import Checkpoint, Progress


class GoOnFrom(keras.callbacks.Callback):
    """Set the random state of a checkpoint and, amid an epoch, go on with its next step.

    It comes before all other callbacks of a run.

    Args:
        checkpoint: The checkpoint.
        data: The images, whose order goes on.
    """

    def __init__(self, checkpoint: Checkpoint, data: Any) -> None:
        super().__init__()
        self._checkpoint: Checkpoint | None = checkpoint
        self._data = data
        self._steps_left = -1
        self._scores: dict[str, float] = {}

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._checkpoint is None:
            return
        progress = self._checkpoint.progress
        self._take_views_again(epoch, progress)
        checkpoints.restore_random_state(self.model, self._checkpoint)
        if not progress.steps:
            self._checkpoint = None
            return
        self._data.set_epoch(epoch, start=progress.images)
        images = len(self._data.train.sampler) - progress.images
        self._steps_left = math.ceil(images / self._data.batch_size)
        if not self._steps_left:
            expect_fewer_batches()
        if keras.backend.backend() != "tensorflow":  # which makes its metrics with the first step
            self._add_summed()
            # Keras takes the scores of an epoch from its last step, which may have been taken.
            scores = self.model.get_metrics_result()
            # It sorts them: the history has its columns in the order that it always has.
            self._scores = {name: float(value) for name, value in sorted(scores.items())}

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._scores = {}
        self._add_summed()
        self._steps_left -= 1
        if self._steps_left == 0 and math.isfinite((logs or {}).get("loss", 0.0)):
            # Keras expects a whole epoch. On TensorFlow a step without data would count.
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._steps_left == 0:
            self.model.stop_training = False
        self._steps_left = -1
        if logs is not None and self._scores:
            others = dict(logs)
            logs.clear()
            logs.update(self._scores | others)
        self._scores = {}

    def _take_views_again(self, epoch: int, progress: Progress) -> None:
        """Have the views that are kept from epoch to epoch be those that the phase has kept."""
        taken: dict[int, int | None] = dict.fromkeys(range(progress.phase_start, epoch))
        if progress.steps:
            taken[epoch] = progress.steps
        if taken:
            self.model.take_views_again(taken, self._data.set_epoch)
            self._data.set_epoch(epoch)

    def _add_summed(self) -> None:
        if self._checkpoint is not None:
            checkpoints.add_summed(self.model, self._checkpoint)
            self._checkpoint = None
