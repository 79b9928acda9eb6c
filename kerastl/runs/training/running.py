"""Train, test, and write the results of a run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastl.backbones import foreign_code
from kerastl.blocks.block import HEAD
from kerastl.data.tasks import CLASSIFICATION
from kerastl.errors import Note, TrainingDivergedError, reason_of
from kerastl.evaluation import run_record as results
from kerastl.evaluation import scoring
from kerastl.evaluation.calibration import calibrate, calibrate_from
from kerastl.evaluation.intervals import known_intervals, score_intervals
from kerastl.evaluation.run_record import CHECKPOINT_FILE, METRICS_FILE, RunResults
from kerastl.evaluation.scores import Evaluation
from kerastl.evaluation.scoring import AnyEvaluation, class_of
from kerastl.internals.folder_lock import holding
from kerastl.internals.loaders import let_workers_end
from kerastl.runs import checkpoints, config_file
from kerastl.runs.checkpoints import Checkpoint
from kerastl.runs.config import RunConfig
from kerastl.runs.faults import writing_faults
from kerastl.runs.folds.cutting import notes
from kerastl.runs.interrupts import Stopping, noticing_signals
from kerastl.runs.report import write_report
from kerastl.runs.solver import HEAD_IS
from kerastl.runs.training import evidence
from kerastl.runs.training.fold_runs import (
    FoldsOutcome,
    Train,
    begun,
    keep_fold,
    prepare_final,
    run_folds,
)
from kerastl.runs.training.folder import check_output, check_place, check_space
from kerastl.runs.training.phase_loop import Training
from kerastl.runs.training.preparing import Echo, PreparedRun, decided, prepare
from kerastl.runs.training.progress import watchers
from kerastl.runs.training.solving import HeadResult, solve_on_training
from kerastl.runs.training.telling import kept


def run(
    config: RunConfig,
    *,
    echo: Echo,
    progress: str = "lines",
    overwrite: bool = False,
    resume: Checkpoint | None = None,
) -> RunResults:
    """Train as the options say and keep the run in its folder.

    Seeds Python's, NumPy's and the backend's random numbers with `config.seed`.

    Args:
        config: The options.
        echo: Takes lines of progress.
        progress: How `fit` shows that it is going on, one of `PROGRESS_MODES`.
        overwrite: Whether a run that the folder holds may be replaced, once
            the first epoch of this one is finished.
        resume: Where a stopped run goes on, as `to_resume` gives it.

    Returns:
        What was measured. `completed` is False after Ctrl-C, or another
        signal that asks to end: the last finished epoch is kept.

    Raises:
        FolderInUseError: If another process runs in the folder.
        ValueError: If an option cannot be used, the folder holds another run,
            or the images have changed since the run to resume.
        OSError: If the folder cannot be written, or the disk is full.
        TrainingDivergedError: If the loss is not finite; the last finished
            epoch is kept.
    """
    folder = Path(config.output).expanduser()
    check_place(folder)
    # A folder that is not there is made once the images are read: it may lie among them.
    with (
        noticing_signals() as stopping,
        writing_faults(folder),
        holding(folder, create=False),
    ):
        replaces = overwrite or resume is not None
        check_output(folder, overwrite=replaces)
        shown = Shown(echo, progress, stopping)
        measured = _run(config, folder, shown, resume, overwrite=replaces)
    return measured if measured.completed else replace(measured, stopped_by=stopping.signal)


def to_resume(folder: Path, *, safe_mode: bool = True) -> tuple[RunConfig, Checkpoint]:
    """The options of a stopped run and where it goes on.

    Args:
        folder: Of the run.
        safe_mode: False lets a `module:` backbone that the checkpoint names be imported and called.

    Raises:
        ValueError: If the folder holds no checkpoint, or one that names code in safe mode.
    """
    file = folder / CHECKPOINT_FILE
    if not file.is_file():
        done = (folder / METRICS_FILE).is_file()
        what = "a run that is complete" if done else "no run"
        hint = (
            "`kerastl evaluate` scores it" if done else "`kerastl run --output FOLDER` starts one"
        )
        raise ValueError(
            f"`resume` must be the folder of a stopped run. Received: {folder}, which holds "
            f"{what}. {hint}."
        )
    checkpoint = checkpoints.load(file)
    values = config_file.parsed(checkpoint.config, file, safe_mode=safe_mode)
    config = RunConfig(**{**values, "output": str(folder)})
    foreign_code.check(config.backbone)
    return config, checkpoint


@dataclass(frozen=True)
class Shown:
    """Where a run's progress goes, and whether a signal asks to end."""

    echo: Echo
    mode: str
    stopping: Stopping

    def watchers(self, batch_size: int, images: int) -> list[keras.callbacks.Callback]:
        """The callbacks of one `fit` whose first epoch has had some images already."""
        return watchers(self.mode, self.echo, batch_size=batch_size, images=images)


def _run(
    config: RunConfig, folder: Path, shown: Shown, resume: Checkpoint | None, *, overwrite: bool
) -> RunResults:
    started = time.perf_counter()
    try:
        prepared, solved = _settled(config, shown.echo)
    except KeyboardInterrupt:
        shown.echo("")
        return RunResults(completed=False)
    with holding(folder):
        check_output(folder, overwrite=overwrite)  # another run may have been here meanwhile
        seconds = {"prepare": time.perf_counter() - started}
        return _in_folder(prepared, folder, shown, resume, solved=solved, seconds=seconds)


def _in_folder(
    prepared: PreparedRun,
    folder: Path,
    shown: Shown,
    resume: Checkpoint | None,
    *,
    solved: HeadResult | None,
    seconds: dict[str, float],
) -> RunResults:
    """The folds of a run, if any, and the training on all images; the folder is held."""
    outcome: FoldsOutcome | None = None
    try:
        check_space(folder, num_parameters=prepared.model.count_params())
        if prepared.config.folds and not prepared.is_only_solved:
            with _timed(seconds, "folds"):
                outcome = run_folds(prepared, folder, resume, _fold_trained(shown), shown.echo)
            if not outcome.is_complete:
                return RunResults(completed=False, folds=outcome.progress)
            prepared, solved = prepare_final(prepared, outcome, shown.echo), None
            resume = begun(resume)
    except KeyboardInterrupt:
        shown.echo("")
        return RunResults(completed=False, folds=outcome.progress if outcome else {})
    return _train(prepared, folder, shown, resume, solved=solved, seconds=seconds, outcome=outcome)


def _settled(config: RunConfig, echo: Echo) -> tuple[PreparedRun, HeadResult | None]:
    """The run with its strategy settled, and its head where that took a solved one."""
    prepared = prepare(config, echo=echo)
    echo(f"Head {HEAD_IS[prepared.solver.name]} {prepared.solver.why}")
    if config.folds:
        for line in notes(prepared.data, config.folds):
            echo(line)
    return _by_evidence(prepared, echo) if prepared.is_open else (prepared, None)


def _fold_trained(shown: Shown) -> Train:
    def train(prepared: PreparedRun, folder: Path, resume: Checkpoint | None) -> RunResults:
        shown.stopping.check()  # one that came while the fold before was written
        folder.mkdir(parents=True, exist_ok=True)
        return _train(prepared, folder, shown, resume, seconds={})

    return train


def _train(
    prepared: PreparedRun,
    folder: Path,
    shown: Shown,
    resume: Checkpoint | None,
    *,
    solved: HeadResult | None = None,
    seconds: dict[str, float],
    outcome: FoldsOutcome | None = None,
) -> RunResults:
    """Train, test and keep what is prepared: a run, a fold of it, or what follows its folds."""
    training = Training(prepared, folder, resume, solved)
    scores: AnyEvaluation | None = None
    diverged, completed = None, False
    try:
        with _timed(seconds, "fit"):
            training.fit(shown)
        if (prepared.as_asked or prepared.config).calibrate:
            _calibrate(prepared, training.final_head, outcome, shown.echo)
            training.keep.save_model()
        with _timed(seconds, "test"):
            scores = _test(prepared)
        completed = True
    except TrainingDivergedError as error:
        diverged = error
    except BaseException as error:
        let_workers_end()
        if not (shown.stopping.signal or isinstance(error, KeyboardInterrupt)):
            training.leave_nothing_empty()
            if training.can_go_on:
                error.add_note(Note(f"Go on with: kerastl run --resume {prepared.config.output}"))
            raise
        shown.echo("")
    shown.stopping.wait()  # a signal must not cut off what is written now
    cache = training.cache_report()
    measured = _results(
        prepared, training, scores=scores, seconds=seconds, completed=completed, cache=cache
    )
    if not completed and diverged is None:
        measured = replace(measured, stopped_by=shown.stopping.signal)
    if outcome is not None:
        measured = outcome.added_to(measured)
    if completed:
        _keep_out_of_fold(prepared, training, scores, outcome, folder)
    if training.keep.has_results:
        training.keep.save_split()  # Of many files the digests are known once all were read.
        results.save_metrics(folder, measured)
    if completed:
        if prepared.held_out is None:
            _report(folder, prepared, measured, scores, shown.echo)
        training.keep.remove_checkpoint()
    training.leave_nothing_empty()
    if diverged is not None:
        raise TrainingDivergedError(f"{diverged} {kept(prepared.config, measured)}") from diverged
    return measured


def _keep_out_of_fold(
    prepared: PreparedRun,
    training: Training,
    scores: AnyEvaluation | None,
    outcome: FoldsOutcome | None,
    folder: Path,
) -> None:
    if prepared.held_out is not None and scores is not None:
        keep_fold(training, prepared, scores, folder)
    elif outcome is not None:
        outcome.save_out_of_fold(folder)
    elif training.final_head is not None:
        training.final_head.save_out_of_fold(folder)


def _by_evidence(prepared: PreparedRun, echo: Echo) -> tuple[PreparedRun, HeadResult]:
    """The run with its strategy settled, and its head, solved on the training part."""
    solved = solve_on_training(prepared)
    echo(solved.line)
    strategy, reason = evidence.settled(prepared)
    return decided(prepared, strategy, reason), solved


def _calibrate(
    prepared: PreparedRun, head: HeadResult | None, outcome: FoldsOutcome | None, echo: Echo
) -> None:
    if outcome is not None:
        judged: Any = outcome.evaluation
        # Logarithms of probabilities are logits.
        logits = np.log(np.maximum(judged.probabilities, np.finfo(np.float32).tiny))
        done = calibrate_from(prepared.model, judged.labels, logits)
    elif head is not None:
        # The model has seen the validation images; heads that had not seen an image judge it.
        held_out = head.head.held_out
        labels = class_of(head.head.labels[held_out])
        temperature = prepared.model.get_layer(HEAD).temperature
        logits = head.head.out_of_fold[held_out] * temperature
        done = calibrate_from(prepared.model, labels, logits)
    else:
        done = calibrate(prepared.model, prepared.data.validation)
    where = "on the validation images" if outcome is None and head is None else "out of fold"
    echo(
        f"Calibrated with the temperature {done.temperature:.3f}: calibration error {where} "
        f"{done.error_before:.4f} before, {done.error_after:.4f} after"
    )


def _test(prepared: PreparedRun) -> AnyEvaluation | None:
    if prepared.data.test is None:
        return None
    return scoring.evaluate(prepared.model, prepared.data.test, prepared.data.class_names)


def _report(
    folder: Path,
    prepared: PreparedRun,
    measured: RunResults,
    scores: AnyEvaluation | None,
    echo: Echo,
) -> None:
    """Write the report and the model card; the run is whole without them."""
    if prepared.config.task != CLASSIFICATION:
        echo("No report: it is for images of one class each.")
        return
    try:
        write_report(
            folder,
            prepared.model,
            data=prepared.data,
            results=measured,
            test_scores=scores if isinstance(scores, Evaluation) else None,
        )
    except Exception as error:
        echo(f"No report: {reason_of(error)}")


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    started = time.perf_counter()
    try:
        yield
    finally:
        seconds[stage] = time.perf_counter() - started


def _strategy(prepared: PreparedRun) -> str:
    """What trained and why, in one sentence."""
    if len(prepared.phases) == 1:
        return prepared.phases[0].strategy.reason
    parts = [
        f"{next(iter(phase.strategy.rates))} ({phase.epochs} epochs)" for phase in prepared.phases
    ]
    return f"{len(parts)} phases, which train from these blocks on: {', '.join(parts)}."


def _results(
    prepared: PreparedRun,
    training: Training,
    *,
    scores: AnyEvaluation | None,
    seconds: Mapping[str, float],
    completed: bool,
    cache: str,
) -> RunResults:
    epochs, final = training.keep.epochs, training.final_head
    last = epochs[-1] if epochs else training.keep.start or {}
    train, validation = results.split_logs(last)
    out_of_fold: Mapping[str, float] = {}
    head: dict[str, Any] = {"solver": prepared.solver.name}
    if final is not None:
        train, validation = dict(final.training.scores), {}
        out_of_fold = final.out_of_fold.scores if final.out_of_fold else {}
        head |= {
            "penalty": final.head.penalty.tolist(),
            "folds": final.head.num_folds,
            "images": final.images,
            "images_out_of_fold": int(final.head.held_out.sum()),
        }
    by_fold: Mapping[str, Any] = {}
    if final is not None and final.out_of_fold is not None and prepared.config.folds:
        by_fold = final.folds(prepared.data.class_names).as_dict()
    measured = RunResults(
        train=train,
        validation=validation,
        out_of_fold=out_of_fold,
        folds=by_fold,
        head=head,
        test=scores.scores if scores else {},
        seconds={**seconds, "total": sum(seconds.values())},
        images=prepared.data.sizes,
        skipped_images=len(prepared.data.skipped),
        epochs=len(epochs),
        steps=0 if completed else training.keep.steps,
        completed=completed,
        strategy=_strategy(prepared),
        class_names=prepared.data.class_names,
        cache=cache,
    )
    of_test = {"test": score_intervals(scores)} if scores else {}
    if final is not None and final.out_of_fold is not None:
        of_test["out_of_fold"] = score_intervals(final.out_of_fold)
    return replace(measured, intervals={**known_intervals(measured), **of_test})
