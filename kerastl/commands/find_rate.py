"""`kerastl find-rate`: which learning rate to take."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from kerastl.commands.failures import one_clear_line
from kerastl.commands.options import ending_in, run_options
from kerastl.runs.config import RunConfig
from kerastl.runs.strategies import AUTO, TRAIN


@click.command("find-rate", short_help="Find a learning rate by a range test.")
@one_clear_line
@click.option("--lowest", type=float, default=1e-6, show_default=True, help="First rate.")
@click.option("--highest", type=float, default=1.0, show_default=True, help="Last rate.")
@click.option("--steps", type=int, default=100, show_default=True, help="Most steps.")
@click.option(
    "--group",
    "groups",
    multiple=True,
    metavar="BLOCK,...",
    help="Test these blocks alone, the others left as they are. May be given again.",
)
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path),
    default="find-rate.png",
    show_default=True,
    callback=ending_in(
        ".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".pdf", ".svg", ".eps", ""
    ),
    help="Where the curve goes; that of a second group gets -2 to its name, and so on.",
)
@run_options
def find_rate(
    config: RunConfig,
    overwrite: bool,
    safe_mode: bool,
    lowest: float,
    highest: float,
    steps: int,
    groups: tuple[str, ...],
    picture: Path,
) -> None:
    """Raise the learning rate step by step, watch the loss, and suggest one.

    The options are those of `kerastl run`; nothing of the training is kept.
    Without --group all trained blocks are tested together, each in the
    proportion that it would have in the run.
    """
    from kerastl.optimizers.rate_finder import find_learning_rate
    from kerastl.runs import training

    if config.folds:
        raise click.UsageError("A range test is one short training. Leave out --folds.")
    if config.solver == AUTO:
        # A rate that is given trains the head, so that is what it is found for.
        config = dataclasses.replace(config, solver=TRAIN)
    prepared = training.prepare(config, echo=lambda line: click.echo(line, err=True))
    strategy = prepared.phases[0].strategy
    alike = {block: rate / strategy.head_rate for block, rate in strategy.rates.items()}
    chosen = [dict.fromkeys(group.split(","), 1.0) for group in groups] or [alike]
    for number, blocks in enumerate(chosen, 1):
        found = find_learning_rate(
            prepared.model,
            prepared.data.train,
            blocks=blocks,
            lowest=lowest,
            highest=highest,
            steps=steps,
        )
        path = picture if number == 1 else picture.with_stem(f"{picture.stem}-{number}")
        found.save_picture(path)
        names = ", ".join(blocks)
        option = "--learning-rate" if not groups else f"--block-rate {next(iter(blocks))}="
        rate = f"{found.suggestion:.2g}"
        click.echo(f"{names}: {rate}  ({option}{' ' if not groups else ''}{rate}; curve in {path})")
