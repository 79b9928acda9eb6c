"""A run with folds that trains: a run without each fold, then one on all images."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kerastl.evaluation import out_of_fold as table
from kerastl.evaluation.folds import FoldScores, fold_scores, held_out_evaluation
from kerastl.evaluation.intervals import score_intervals
from kerastl.evaluation.run_record import CHECKPOINT_FILE, RunResults
from kerastl.evaluation.scoring import AnyEvaluation
from kerastl.runs import checkpoints, config_file
from kerastl.runs.checkpoints import Checkpoint, Progress
from kerastl.runs.config import RunConfig
from kerastl.runs.folds.cutting import Folds, folds_of
from kerastl.runs.folds.files import (
    FoldResult,
    finished_fold,
    fold_folder,
    remove_folds,
    save_fold,
)
from kerastl.runs.strategies import FEATURE_EXTRACTION
from kerastl.runs.training.phase_loop import Training, check_same_images
from kerastl.runs.training.preparing import Echo, PreparedRun, prepare

Train = Callable[[PreparedRun, Path, Checkpoint | None], RunResults]
"""Trains a fold in its folder, from a checkpoint or from the start, and keeps what it gave."""


@dataclass(frozen=True)
class FoldsOutcome:
    """What the folds gave.

    Attributes:
        folds: Which image each held out.
        results: Of each finished fold, in their order.
    """

    folds: Folds
    results: tuple[FoldResult, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every fold is finished."""
        return len(self.results) == self.folds.count

    @property
    def progress(self) -> dict[str, int]:
        """How many folds there are, and how many are finished."""
        return {"count": self.folds.count, "finished": len(self.results)}

    @property
    def evaluation(self) -> AnyEvaluation:
        """Of every image that was held out."""
        return held_out_evaluation(*self._judged)

    @property
    def scores(self) -> FoldScores:
        """Of each fold."""
        return fold_scores(*self._judged)

    @property
    def starts_kept(self) -> int:
        """In how many folds the solved head was no worse than what came of it."""
        return sum(result.kept_start for result in self.results)

    def added_to(self, measured: RunResults) -> RunResults:
        """The results of the run on all images with the scores of the folds."""
        found = self.evaluation
        held_out = {"images_out_of_fold": int((self._folds_that_gave >= 0).sum())}
        return replace(
            measured,
            out_of_fold=found.scores,
            folds=self.scores.as_dict(),
            head={**measured.head, **held_out},
            intervals={**measured.intervals, "out_of_fold": score_intervals(found)},
        )

    def save_out_of_fold(self, folder: Path) -> None:
        """Write what each image got from the run without it."""
        untested = self.folds.data.untested()
        names = [
            untested.name(int(number)) for number in np.flatnonzero(self._folds_that_gave >= 0)
        ]
        table.save(folder, names, self.evaluation)

    @property
    def _outputs(self) -> np.ndarray:
        shape = (len(self.folds.of_image), self.results[0].outputs.shape[1])
        outputs = np.full(shape, np.nan, np.float32)
        for result in self.results:
            outputs[result.images] = result.outputs
        return outputs

    @property
    def _folds_that_gave(self) -> np.ndarray:
        """The fold of each image; -1 also for one that turned out to be broken."""
        return np.where(np.isnan(self._outputs).any(1), -1, self.folds.of_image)

    @property
    def _judged(self) -> tuple[Any, ...]:
        data = self.folds.data
        labels = data.untested().labels
        return data.task, data.class_names, labels, self._outputs, self._folds_that_gave


def run_folds(
    prepared: PreparedRun, folder: Path, resume: Checkpoint | None, train: Train, echo: Echo
) -> FoldsOutcome:
    """Train without each fold and predict it; a finished fold is not trained again.

    Args:
        prepared: The run, its strategy settled.
        folder: Its folder, where `--resume` goes on from now on.
        resume: Where the run goes on, or None.
        train: Trains one fold.
        echo: Takes lines of progress.

    Raises:
        ValueError: If the images have changed since the run began, or none can be held out.
    """
    config = prepared.config
    folds = folds_of(prepared.data, folds=config.folds or 0, seed=config.seed)
    everything = folds.everything().dataset("train")
    if resume is not None:
        known = (everything.identity(), everything.fingerprint())
        check_same_images(resume, known, config.data)
    else:
        remove_folds(folder)
        checkpoints.save(
            folder / CHECKPOINT_FILE,
            prepared.model,
            Progress(),
            config=config_file.to_toml(config, folder),
            data=everything.identity(),
        )
    results: list[FoldResult] = []
    for fold in range(folds.count):
        of_fold = fold_folder(folder, fold)
        found = finished_fold(of_fold, folds.held_out(fold))
        if found is None:
            echo(f"Fold {fold + 1} of {folds.count}")
            file = of_fold / CHECKPOINT_FILE
            go_on_from = checkpoints.load(file) if file.is_file() else None
            try:
                train(_prepared_fold(prepared, folds, fold, of_fold), of_fold, go_on_from)
            except KeyboardInterrupt:
                break
            found = finished_fold(of_fold, folds.held_out(fold))
            gc.collect()  # a model is a ring of layers and tensors
        if found is None:
            break
        results.append(found)
    return FoldsOutcome(folds, tuple(results))


def planned_folds(prepared: PreparedRun) -> str:
    """What the folds of a run would do.

    Args:
        prepared: The run, with the option `folds`.

    Raises:
        ValueError: If no image can be held out.
    """
    config = prepared.config
    folds = folds_of(prepared.data, folds=config.folds or 0, seed=config.seed)
    what = f"{folds.count} of {len(folds.of_image):,} images"
    if prepared.is_only_solved:
        return f"{what}, each predicted by a head that is solved without it"
    if prepared.is_open:
        return (
            f"{what}, each predicted by a head that is solved without it; or, where that shows "
            f"that fine-tuning is worth while, {folds.count} runs and one on all"
        )
    epochs = sum(phase.epochs for phase in prepared.phases)
    watches = _watches(prepared)
    cut = [folds.without(fold, with_validation=watches) for fold in range(folds.count)]
    steps = sum(len(data.train) for data in cut) * epochs
    last = len(folds.everything().train) * epochs
    return f"{what}: a run without each, {steps:,} steps together, then one on all, {last:,} steps"


def begun(resume: Checkpoint | None) -> Checkpoint | None:
    """Where the run on all images goes on after the folds, or None where it had not begun."""
    return resume if resume is not None and resume.progress.has_begun else None


def keep_fold(
    training: Training, prepared: PreparedRun, scores: AnyEvaluation, folder: Path
) -> None:
    """Write the predictions of a fold, which is the test of its run.

    Args:
        training: What trained.
        prepared: The run without the fold.
        scores: How it does on the fold.
        folder: Of the fold.
    """
    dataset = prepared.data.test.dataset
    held_out = np.asarray(prepared.held_out)[~np.asarray(dataset.broken)]
    best = training.keep.best
    epochs = len(training.keep.epochs)
    save_fold(
        folder,
        FoldResult(
            held_out,
            outputs_of(scores),
            epochs if best is None or best.best is None else best.best_epoch + 1,
            training.final_head is not None,
        ),
    )


def outputs_of(scores: AnyEvaluation) -> np.ndarray:
    """What the model gave, whatever the task, `(images, classes or numbers)`."""
    found = getattr(scores, "probabilities", None)
    return np.asarray(scores.predicted if found is None else found)  # type: ignore[union-attr]


def prepare_final(prepared: PreparedRun, outcome: FoldsOutcome, echo: Echo) -> PreparedRun:
    """The run on all images but the test, as long as the folds were good for.

    Args:
        prepared: The run.
        outcome: Its folds.
        echo: Takes lines of progress.
    """
    config = replace(prepared.config, calibrate=False, keep_start=False)
    count = outcome.folds.count
    echo(f"All {len(outcome.folds.of_image):,} images but the test, after {count} folds")
    reason = None
    if outcome.starts_kept * 2 > count:
        reason = (
            f"feature-extraction: fine-tuning was no better than the solved head in "
            f"{outcome.starts_kept} of {count} folds, so only the head is solved."
        )
        config = _only_solved(config)
    elif len(prepared.phases) == 1 and (config.keep_best or prepared.phases[0].patience):
        trained = [result.epochs for result in outcome.results if not result.kept_start]
        epochs = max(round(float(np.mean(trained))), 1)
        echo(f"Epochs {epochs}, the mean of the best of each fold")
        config = replace(config, epochs=epochs, patience=None, keep_best=None)
    made = prepare(config, echo=_nowhere, data=outcome.folds.everything())
    reasons = [reason] if reason else [phase.strategy.reason for phase in prepared.phases]
    phases = [
        replace(phase, strategy=replace(phase.strategy, reason=why))
        for phase, why in zip(made.phases, reasons, strict=True)
    ]
    return replace(made, phases=tuple(phases), as_asked=prepared.config)


def _prepared_fold(prepared: PreparedRun, folds: Folds, fold: int, folder: Path) -> PreparedRun:
    """The run without a fold."""
    config = prepared.config
    data = folds.without(fold, with_validation=_watches(prepared))
    of_fold = replace(config, output=str(folder), folds=None, calibrate=False)
    made = prepare(of_fold, echo=_nowhere, data=data)
    return replace(made, held_out=folds.held_out(fold))


def _watches(prepared: PreparedRun) -> bool:
    """Whether epochs, or weights, are picked, by images neither trained on nor of the fold."""
    config, phases = prepared.config, prepared.phases
    patient = any(phase.patience for phase in phases)
    return bool(config.keep_best or config.keep_start or len(phases) > 1 or patient)


def _only_solved(config: RunConfig) -> RunConfig:
    return replace(
        config,
        strategy=FEATURE_EXTRACTION,
        freeze_through=None,
        block_rate={},
        phase=(),
        epochs=None,
        patience=None,
        keep_best=None,
    )


def _nowhere(line: str) -> None:
    pass
