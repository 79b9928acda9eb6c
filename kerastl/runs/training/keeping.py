"""Callbacks that keep model, history, checkpoint and best weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastl.data import split_file
from kerastl.data.split_file import SplitRow
from kerastl.evaluation.run_record import (
    CHECKPOINT_FILE,
    CONFIG_FILE,
    HISTORY_FILE,
    METRICS_FILE,
    MODEL_FILE,
    OUT_OF_FOLD_FILE,
    PHASE,
    SPLIT_FILE,
    save_history,
)
from kerastl.internals.folder_lock import check_held
from kerastl.internals.whole_files import write_whole
from kerastl.runs import checkpoints
from kerastl.runs.checkpoints import Checkpoint, Progress
from kerastl.runs.report import remove_report


class BestEpoch(keras.callbacks.EarlyStopping):
    """Keras's early stopping, with a memory that a checkpoint can hold.

    When a phase ends, the weights of its best epoch come back.

    Args:
        score: What is watched, as the logs call it.
        mode: "max" or "min": what is better. "auto": as Keras's metric says.
        patience: Epochs without a better score that end the phase; None: no such end.
        memory: What an earlier phase or an earlier process remembered.
        weights: The best weights that go with it.
    """

    def __init__(
        self,
        score: str,
        *,
        mode: str = "auto",
        patience: int | None = None,
        memory: Mapping[str, Any] | None = None,
        weights: Sequence[np.ndarray] | None = None,
    ) -> None:
        never = 10**9
        super().__init__(
            monitor=score, mode=mode, patience=patience or never, restore_best_weights=True
        )
        self._start = (memory, weights)

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        memory, weights = self._start
        if memory is not None and weights is not None:
            self.wait, self.best = memory["wait"], memory["best"]
            self.best_epoch, self.best_weights = memory["best_epoch"], list(weights)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """As in Keras, which would ask for a `mode` first where there is no such score."""
        self.get_monitor_value(logs)
        super().on_epoch_end(epoch, logs)

    def get_monitor_value(self, logs: Mapping[str, Any] | None) -> float:
        """The score of an epoch.

        Raises:
            ValueError: If there is no such score.
        """
        # The rate of a block is in the logs too: `learning_rate/head`.
        scores = {name for name in logs or () if "/" not in name}
        if self.monitor not in scores:
            there = sorted({name.removeprefix("val_") for name in scores})
            raise ValueError(
                f"`keep_best` must be a score of the run. Received: keep_best="
                f"{self.monitor.removeprefix('val_')!r}. There are: {', '.join(there)}."
            )
        return float((logs or {})[self.monitor])

    @property
    def memory(self) -> dict[str, Any] | None:
        """What it remembers, without the weights."""
        if self.best is None:
            return None
        return {"wait": self.wait, "best": float(self.best), "best_epoch": self.best_epoch}


class KeepEpochs(keras.callbacks.Callback):
    """Save model, history and checkpoint after every finished epoch.

    The model is that of the best epoch so far where there is a `best`. An
    older run in the folder stays whole until the first epoch is finished. The
    last epoch of a phase gets no checkpoint of its own: the phase's end has one.
    Within an epoch `save_within_epoch` saves a checkpoint.

    Args:
        folder: The run folder.
        config: Text of its config file.
        data: What tells that the training images are the same.
        split: Gives the rows of `split.csv`, or None: none is written.
        broken: Gives which images of each part have turned out to be broken.
        epochs: Logs of the epochs that an earlier process has finished.

    Attributes:
        epochs: The logs of every finished epoch.
        phase: Number of the phase under way, from 0.
        phase_start: Epochs that were finished when it began.
        best: What picks the epoch that is kept, or None for the last.
        start: Scores of the solved head that the run started from, or None.
        start_weights: The model's weights then, where they may come back.
        has_older_run: Whether the folder holds another run that is still whole.
        steps: Of the epoch under way that the checkpoint has.
        images: Of its order that these steps were cut from.
    """

    def __init__(
        self,
        folder: Path,
        config: str,
        *,
        data: str,
        split: Callable[[], Sequence[SplitRow]] | None = None,
        broken: Callable[[], Mapping[str, np.ndarray]] | None = None,
        epochs: Sequence[Mapping[str, float]] = (),
    ) -> None:
        super().__init__()
        self.epochs: list[dict[str, float]] = [dict(logs) for logs in epochs]
        self.phase = 0
        self.phase_start = 0
        self.best: BestEpoch | None = None
        self.num_phases = 1
        self.start: dict[str, float] | None = None
        self.start_weights: list[np.ndarray] | None = None
        self.has_older_run = False
        self.steps = self.images = 0
        self._folder = folder
        self._config = config
        self._data = data
        self._split = split
        self._broken = broken

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        check_held(self._folder)
        measured = {key: float(value) for key, value in (logs or {}).items()}
        if self.num_phases > 1:
            measured = {PHASE: self.phase + 1.0, **measured}
        finished = [*self.epochs, measured]
        if self.best is None or self.best.best_epoch == epoch:
            self.save_model()
        if not self.has_results:
            self._replace_older_run()
        save_history(self._folder, finished, start=self.start)
        self.epochs = finished
        self.steps = self.images = 0
        is_last = epoch + 1 == self.params["epochs"] or self.model.stop_training
        if not is_last:
            self.save_checkpoint()

    @property
    def has_results(self) -> bool:
        """Whether the folder holds something of this run."""
        return bool(self.epochs or self.start or self.steps)

    def keep_start(self, scores: Mapping[str, float]) -> None:
        """Save the model as it is: its head is solved, and no epoch is finished.

        Args:
            scores: What the history says of it.
        """
        check_held(self._folder)
        self.save_model()
        if not self.has_results:
            self._replace_older_run()
        self.start = dict(scores)
        save_history(self._folder, self.epochs, start=self.start)

    def _replace_older_run(self) -> None:
        """Write the options, and remove what an older run in the folder has left."""
        for name in (METRICS_FILE, OUT_OF_FOLD_FILE):
            (self._folder / name).unlink(missing_ok=True)
        remove_report(self._folder)
        self._save_options()
        self.save_split()
        self.has_older_run = False

    def _save_options(self) -> None:
        write_whole(
            self._folder / CONFIG_FILE,
            lambda path: path.write_text(self._config, encoding="utf-8"),
        )

    def save_split(self) -> None:
        """Write which image is in which part, with the digests that are known by now."""
        if self._split is not None:
            split_file.save(self._folder / SPLIT_FILE, self._split())

    def save_model(self) -> None:
        """Save the model as it is now."""
        write_whole(self._folder / MODEL_FILE, lambda path: self.model.save(path))

    def save_within_epoch(self, steps: int, images: int, summed: Sequence[np.ndarray]) -> None:
        """Save a checkpoint between two steps of an epoch.

        Args:
            steps: Of the epoch so far.
            images: Of its order that they were cut from.
            summed: What the metrics have summed in them.
        """
        check_held(self._folder)
        is_first = not self.has_results
        before = self.steps, self.images
        self.steps, self.images = steps, images
        try:
            self.save_checkpoint(summed)  # First: on a full disk an older run stays whole.
        except BaseException:
            self.steps, self.images = before
            raise
        if is_first:
            self.remove_other_results()

    def remove_other_results(self) -> None:
        """Remove what is not of this run, of which only a checkpoint is there."""
        self._replace_older_run()
        for name in (MODEL_FILE, HISTORY_FILE):
            (self._folder / name).unlink(missing_ok=True)

    def put_right(self, checkpoint: Checkpoint) -> bool:
        """Make the folder that of a checkpoint again where its options are others.

        They may have been edited since, or be those of an older run, where a kill came between
        the first checkpoint and their removal.

        Args:
            checkpoint: Where the run goes on.

        Returns:
            Whether they were others.
        """
        file = self._folder / CONFIG_FILE
        if not file.is_file() or _text_of(file) == checkpoint.config:
            return False
        if checkpoint.progress.epochs or checkpoint.progress.start:
            self._save_options()
        elif checkpoint.progress.steps:
            self.remove_other_results()
        return True

    def save_checkpoint(self, summed: Sequence[np.ndarray] = ()) -> None:
        """Save everything that the run needs to go on from here.

        Args:
            summed: Within an epoch, what the metrics have summed.
        """
        best = self.best
        memory = best.memory if best else None
        checkpoints.save(
            self._folder / CHECKPOINT_FILE,
            self.model,
            Progress(
                self.phase,
                self.phase_start,
                self.epochs,
                memory,
                self.start,
                self.steps,
                self.images,
            ),
            config=self._config,
            data=self._data,
            best_weights=best.best_weights if best and memory else None,
            start_weights=self.start_weights,
            metrics=summed,
            broken=self._broken() if self._broken else {},
        )

    def remove_unfinished_start(self) -> None:
        """Remove what an error amid the first save has left, and a checkpoint of no step."""
        self.remove_checkpoint()
        if (self._folder / CONFIG_FILE).is_file() or (self._folder / MODEL_FILE).is_file():
            for name in (MODEL_FILE, CONFIG_FILE, HISTORY_FILE, SPLIT_FILE):
                (self._folder / name).unlink(missing_ok=True)

    def remove_checkpoint(self) -> None:
        """Remove it: the run is complete."""
        (self._folder / CHECKPOINT_FILE).unlink(missing_ok=True)


def _text_of(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")
