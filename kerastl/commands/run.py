"""`kerastl run`: train, evaluate, and keep everything in a folder."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from kerastl.commands.failures import one_clear_line, stopped
from kerastl.commands.options import run_options
from kerastl.evaluation.run_record import RunResults
from kerastl.internals.folder_lock import holding
from kerastl.processes.group import is_first, several
from kerastl.processes.starting import number_of, run_together
from kerastl.runs import backends
from kerastl.runs.config import PROGRESS_MODES, RunConfig
from kerastl.runs.interrupts import CTRL_C


@click.command(short_help="Train, and keep the model and its results in a folder.")
@one_clear_line
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    help="Go on with the stopped run of this folder, with its own options.",
)
@click.option(
    "--progress",
    type=click.Choice(PROGRESS_MODES),
    default=PROGRESS_MODES[0],
    show_default=True,
    help="How progress shows: auto is a bar on a terminal, else a line per epoch; json is JSON "
    "lines on stdout, the results last; quiet is the results alone.",
)
@click.option(
    "--processes",
    metavar="N",
    help="Train in this many processes on this machine, with the results of one; auto: one for "
    "each GPU.",
)
@run_options
def run(
    config: RunConfig,
    overwrite: bool,
    safe_mode: bool,
    resume: Path | None,
    progress: str,
    processes: str | None,
) -> None:
    """Fine-tune a backbone and keep the model and its results in a folder.

    The folder holds model.keras, config.toml (`--config` repeats the run),
    history.csv and metrics.json; with folds, what each fold gave too.

    Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 let the step under way finish and keep
    it in a checkpoint; --resume goes on from there.
    """
    if processes is not None and not several() and (count := number_of(processes)) > 1:
        code = run_together(count, ["-m", "kerastl", *sys.argv[1:]])
        click.get_current_context().exit(code)
    if resume is None:
        _run(config, progress, overwrite=overwrite)
        return
    # Held before it is read: another process may be going on with it.
    with holding(resume, create=False) if is_first() else contextlib.nullcontext():
        _resume(resume, progress, safe_mode=safe_mode)


def _resume(folder: Path, progress: str, *, safe_mode: bool) -> None:
    from kerastl.runs import training

    own = {"resume", "progress", "debug", "safe_mode", "processes"}
    given = sorted(set(click.get_current_context().params) - own)
    changed = [name for name in given if _is_given(name)]
    if changed:
        raise click.UsageError(
            "A resumed run has its own options. Leave out "
            f"{', '.join('--' + name.replace('_', '-') for name in changed)}."
        )
    config, checkpoint = training.to_resume(folder, safe_mode=safe_mode)
    backends.choose(config.backend)
    _run(config, progress, checkpoint=checkpoint)


def _run(
    config: RunConfig, progress: str, *, overwrite: bool = False, checkpoint: Any = None
) -> None:
    from kerastl.runs import training
    from kerastl.runs.training.folder import other_processes_apart

    if not is_first():
        progress = "quiet"
    echo = _ECHOES.get(progress, _to_stderr)
    with other_processes_apart(config, resumes=checkpoint is not None) as own:
        results = training.run(
            own, echo=echo, progress=progress, overwrite=overwrite, resume=checkpoint
        )
    if not is_first():
        return
    if not results.completed:
        raise stopped(training.stopped_sentence(config, results), results.stopped_by or CTRL_C)
    if progress == "json":
        click.echo(json.dumps({"event": "result", **dataclasses.asdict(results)}))
        return
    _print(results, config.output)


def _print(results: RunResults, output: str) -> None:
    from kerastl.evaluation import intervals
    from kerastl.evaluation.folds import described_folds

    known = intervals.known_intervals(results)
    for part in intervals.PARTS:
        scores = dict(sorted(getattr(results, part).items()))
        if scores:
            measured = intervals.described(
                scores, known.get(part, {}), images=results.num_images(part)
            )
            click.echo(f"{part.replace('_', ' '):<11} {measured}")
    if results.folds:
        click.echo(f"{'folds':<11} {described_folds(results.folds)}")
    if results.skipped_images:
        click.echo(f"{results.skipped_images} broken images were left out.")
    click.echo(f"Saved in {output}")


def _is_given(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is ParameterSource.COMMANDLINE


def _to_stderr(line: str) -> None:
    click.echo(line, err=True)


def _as_json(line: str) -> None:
    """Events are JSON already; everything else becomes one."""
    click.echo(line if line.startswith("{") else json.dumps({"event": "message", "text": line}))


def _to_nowhere(line: str) -> None:
    pass


_ECHOES: dict[str, Callable[[str], None]] = {"json": _as_json, "quiet": _to_nowhere}
