"""Train the phases of a run one after the other, from the start or a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerastl.data import split_file
from kerastl.data.class_weights import balanced_weights
from kerastl.errors import DamagedFileError
from kerastl.evaluation.run_record import CHECKPOINT_FILE, CONFIG_FILE, SPLIT_FILE
from kerastl.runs import checkpoints, config_file
from kerastl.runs.checkpoints import Checkpoint
from kerastl.runs.config import RunConfig
from kerastl.runs.phases import Phase
from kerastl.runs.strategies import SOLVE
from kerastl.runs.training.folder import held_files, remove_if_empty, remove_rests
from kerastl.runs.training.going_on import GoOnFrom
from kerastl.runs.training.keeping import BestEpoch, KeepEpochs
from kerastl.runs.training.keeping_steps import KeepSteps, StopOnSignal
from kerastl.runs.training.preparing import PreparedRun, begin_phase, phase_lines
from kerastl.runs.training.solving import HeadResult, solve_on_all, solve_on_training
from kerastl.runs.training.telling import so_far
from kerastl.runs.training.tensorboard import TensorBoardLog


class Training:
    """The training of a run.

    Args:
        prepared: The run.
        folder: Its folder.
        resume: Where a stopped run goes on, or None.
        solved: The head that is solved on the training part already, or None.

    Attributes:
        keep: What keeps the epochs.
        final_head: The head of the finished model where it was solved on all
            images but the test, else None.

    Raises:
        ValueError: If the images have changed since the checkpoint.
    """

    def __init__(
        self,
        prepared: PreparedRun,
        folder: Path,
        resume: Checkpoint | None,
        solved: HeadResult | None = None,
    ) -> None:
        remove_rests(folder)
        self._prepared = prepared
        self._folder = folder
        self._resume = resume
        data = prepared.data.dataset("train").identity()
        if resume is not None:
            # kerastl 0.1 has written a fingerprint into its checkpoints.
            known = (data, prepared.data.fingerprint())
            check_same_images(resume, known, prepared.config.data)
            check_progress(resume, prepared)
            mark_broken(prepared.data, resume)
        self.keep = KeepEpochs(
            folder,
            config_file.to_toml(prepared.as_asked or prepared.config, folder),
            data=data,
            split=prepared.data.split_rows,
            broken=prepared.data.broken,
            epochs=resume.progress.epochs if resume else (),
        )
        self.keep.num_phases = len(prepared.phases)
        self.keep.has_older_run = resume is None and bool(held_files(folder))
        self._had_other_options = resume is not None and self.keep.put_right(resume)
        if resume is not None:
            expect_same_content(prepared.data, folder)
        self._is_resumed = resume is not None
        self._cache_reports: dict[int, str] = {}
        self._solved = solved
        self.final_head: HeadResult | None = None

    def fit(self, shown: Any) -> None:
        """Train what is left of the run.

        Args:
            shown: Gives the callbacks that show each `fit`, takes lines, and tells whether a
                signal asks to end.
        """
        prepared, keep = self._prepared, self.keep
        keep.set_model(prepared.model)
        first, memory, weights = 0, None, None
        if prepared.is_only_solved:
            for line in phase_lines(prepared.phases[0]):
                shown.echo(line)
            self._finish_with_solved(shown)
            return
        if self._resume is not None:
            progress = self._resume.progress
            keep.start = dict(progress.start) if progress.start else None
            keep.start_weights = self._resume.start_weights
            first, memory, weights = progress.phase, progress.best, self._resume.best_weights
            keep.phase_start = progress.phase_start
            keep.steps, keep.images = progress.steps, progress.images
            # The optimizer has met the blocks of the earlier phases too.
            for number in range(1, first + self._is_under_way()):
                begin_phase(prepared, number)
            checkpoints.restore(prepared.model, self._resume)
            shown.echo(f"Resumed after {so_far(len(progress.epochs), progress.steps)}")
            if self._had_other_options:
                shown.echo(f"{CONFIG_FILE} has the options again that the run began with")
        elif not keep.has_older_run:
            keep.save_checkpoint()
        if self._starts_from_solved:
            self._start(shown)
        for number in range(first, len(prepared.phases)):
            if number > 0 and not self._is_under_way():
                begin_phase(prepared, number)
                if not prepared.config.keep_best:
                    memory, weights = None, None
            keep.phase = number
            keep.best = self._best_epoch(prepared.phases[number], memory, weights)
            self._fit_phase(number, shown)
            if keep.best is not None:
                memory, weights = keep.best.memory, keep.best.best_weights
            keep.save_model()
            keep.phase, keep.phase_start = number + 1, len(keep.epochs)
            keep.save_checkpoint()
            shown.stopping.check()
        if keep.start_weights is not None and not self._is_better_than_start():
            shown.echo("Fine-tuning was no better on the validation images than the solved head")
            prepared.model.set_weights(keep.start_weights)
            self._finish_with_solved(shown)

    @property
    def _starts_from_solved(self) -> bool:
        """Whether the head is still to be solved before the first epoch."""
        return self._prepared.solver.name == SOLVE and not self.keep.has_results

    def _start(self, shown: Any) -> None:
        """Solve the head on the training part."""
        prepared, keep = self._prepared, self.keep
        solved = self._solved or solve_on_training(prepared)
        if self._solved is None:
            shown.echo(solved.line)
        scores = dict(solved.training.scores)
        if prepared.data.validation is not None:
            scores |= {f"val_{name}": value for name, value in self._validation_scores().items()}
            if prepared.config.keep_start:
                keep.start_weights = prepared.model.get_weights()
        keep.keep_start(scores)
        keep.save_checkpoint()

    def _validation_scores(self) -> dict[str, float]:
        found = self._prepared.model.evaluate(
            self._prepared.data.validation, return_dict=True, verbose=0
        )
        return {name: float(value) for name, value in found.items()}

    def _is_better_than_start(self) -> bool:
        """Whether the model does better on validation than with the solved head alone."""
        start, now = self.keep.start or {}, self._validation_scores()
        if "accuracy" in now and now["accuracy"] != start["val_accuracy"]:
            return now["accuracy"] > start["val_accuracy"]
        return now["loss"] < start["val_loss"]

    def _finish_with_solved(self, shown: Any) -> None:
        """The solved head is the final model: it is solved on all images but the test."""
        prepared = self._prepared
        self.final_head = solve_on_all(prepared)
        shown.echo(self.final_head.line)
        if self.keep.epochs:
            self.keep.save_model()
            self.keep.save_checkpoint()
            return
        scores = dict(self.final_head.training.scores)
        if self.final_head.out_of_fold is not None:
            found = self.final_head.out_of_fold.scores
            scores |= {f"out_of_fold_{name}": value for name, value in found.items()}
        self.keep.keep_start(scores)

    def cache_report(self) -> str:
        """What was kept of the frozen blocks' output in each phase of this process, or why not."""
        if self.final_head is not None and not self.keep.epochs:
            return f"not needed: features of {self.final_head.images:,} images, computed once"
        reports = self._cache_reports
        if len(self._prepared.phases) == 1 or not reports:
            return str(self._prepared.model.cache_report)
        return "; ".join(f"phase {number + 1} {report}" for number, report in reports.items())

    def _is_under_way(self) -> bool:
        """Whether the phase has taken a step that is kept."""
        return len(self.keep.epochs) > self.keep.phase_start or self.keep.steps > 0

    @property
    def can_go_on(self) -> bool:
        """Whether something of the run is kept that it can go on from."""
        return self.keep.has_results and (self._folder / CHECKPOINT_FILE).is_file()

    def leave_nothing_empty(self) -> None:
        """Remove what is of no epoch and no step, and a folder that holds nothing."""
        # A resumed run may have been killed once its first epoch's model was there.
        is_new = not self._is_resumed and not self.keep.has_older_run
        if is_new and not self.keep.has_results:
            self.keep.remove_unfinished_start()
        remove_if_empty(self._folder)

    def _fit_phase(self, number: int, shown: Any) -> None:
        prepared, keep = self._prepared, self.keep
        config, data, phase = prepared.config, prepared.data, prepared.phases[number]
        if len(prepared.phases) > 1:
            shown.echo(f"Phase {number + 1} of {len(prepared.phases)}")
        for line in phase_lines(phase):
            shown.echo(line)
        finished = len(keep.epochs)
        data.set_epoch(finished)  # `fit` draws this order first, and then one after the other
        steps = KeepSteps(keep, data, minutes=config.checkpoint_every, steps=keep.steps)
        watchers: list[Any] = [steps, StopOnSignal(shown.stopping, steps)]
        watchers += [*([keep.best] if keep.best else []), keep]
        watchers += shown.watchers(data.batch_size, images=keep.images)
        if config.tensorboard:
            watchers.append(TensorBoardLog(self._folder, finished=finished))
        if self._resume is not None:
            watchers.insert(0, GoOnFrom(self._resume, data))
            self._resume = None
        try:
            prepared.model.fit(
                data.train,
                validation_data=data.validation,
                initial_epoch=finished,
                epochs=keep.phase_start + phase.epochs,
                class_weight=balanced_weights(data.labels("train"))
                if config.class_weight
                else None,
                callbacks=watchers,
                verbose=0,
                **(_cache(config) if phase.strategy.frozen else {}),
            )
        finally:
            self._cache_reports[number] = prepared.model.cache_report

    def _best_epoch(
        self,
        phase: Phase,
        memory: Mapping[str, Any] | None,
        weights: Sequence[np.ndarray] | None,
    ) -> BestEpoch | None:
        """What picks the epoch whose weights a phase ends with, or None for its last."""
        config = self._prepared.config
        wanted = config.keep_best or phase.patience or len(self._prepared.phases) > 1
        if not wanted or config.ema is not None:
            return None
        score = config.keep_best or "loss"
        name = score if self._prepared.data.validation is None else f"val_{score}"
        return BestEpoch(name, patience=phase.patience, memory=memory, weights=weights)


def check_same_images(checkpoint: Checkpoint, known: Sequence[str], spec: str) -> None:
    """Refuse to go on with other images.

    Args:
        checkpoint: Where the run goes on.
        known: What the checkpoint may call the training images as they are now.
        spec: What they are called.

    Raises:
        ValueError: If they have changed since.
    """
    if checkpoint.data not in known:
        raise ValueError(
            f"`data` must be what it was when the run began. Received: {spec}, whose training "
            "images or labels have changed since. Start anew with --overwrite."
        )


def check_progress(checkpoint: Checkpoint, prepared: PreparedRun) -> None:
    """Refuse to go on from where this run cannot have been.

    Raises:
        DamagedFileError: If so.
    """
    progress = checkpoint.progress
    images = prepared.data.sizes["train"]
    if progress.phase > len(prepared.phases) or progress.images > images:
        raise DamagedFileError(
            f"{CHECKPOINT_FILE} must be of this run. Received: phase {progress.phase + 1} of "
            f"{len(prepared.phases)}, {progress.images:,} of {images:,} images. Run anew with "
            "--overwrite."
        )


def mark_broken(data: Any, checkpoint: Checkpoint) -> None:
    """Mark the images that had turned out to be broken: batches of them alone were left out.

    Args:
        data: The images.
        checkpoint: Where the run goes on.
    """
    for part, broken in data.broken().items():
        found = checkpoint.broken(part)
        if found is not None and found.shape == broken.shape:
            broken |= found.astype(bool)


def expect_same_content(data: Any, folder: Path) -> None:
    """Refuse, when it is read, a file that is not what the run's `split.csv` says.

    Of few files `check_same_images` knows it before.

    Args:
        data: The images.
        folder: The run's folder.
    """
    file = folder / SPLIT_FILE
    if not file.is_file():
        return
    known = {row.path: row.digest for row in split_file.load(file).rows}
    for part in (name for name, size in data.sizes.items() if size):
        dataset = data.dataset(part)
        dataset.contents.expect([dataset.key(number) for number in range(len(dataset))], known)


def _cache(config: RunConfig) -> dict[str, Any]:
    """What `fit` is told of the cache in a phase that has frozen blocks."""
    return {"cache": config.cache, "cache_views": config.cache_views}
