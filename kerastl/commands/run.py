"""`kerastl run`: train, evaluate, and keep everything in a folder."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import click
from click.core import ParameterSource

from kerastl.commands.failures import one_clear_line
from kerastl.commands.options import run_options
from kerastl.evaluation.run_record import RunResults
from kerastl.runs import backends
from kerastl.runs.config import PROGRESS_MODES, RunConfig


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
@run_options
def run(
    config: RunConfig, overwrite: bool, safe_mode: bool, resume: Path | None, progress: str
) -> None:
    """Fine-tune a backbone and keep the model and its results in a folder.

    The folder holds model.keras, config.toml (`--config` repeats the run),
    history.csv and metrics.json; with folds, what each fold gave too.
    """
    from kerastl.runs import training

    checkpoint = None
    if resume is not None:
        own = {"resume", "progress", "debug", "safe_mode"}
        given = sorted(set(click.get_current_context().params) - own)
        changed = [name for name in given if _is_given(name)]
        if changed:
            raise click.UsageError(
                "A resumed run has its own options. Leave out "
                f"{', '.join('--' + name.replace('_', '-') for name in changed)}."
            )
        config, checkpoint = training.to_resume(resume, safe_mode=safe_mode)
        backends.choose(config.backend)
    echo = _ECHOES.get(progress, _to_stderr)
    results = training.run(
        config, echo=echo, progress=progress, overwrite=overwrite, resume=checkpoint
    )
    if not results.completed:
        raise click.ClickException(training.stopped_sentence(config, results))
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
