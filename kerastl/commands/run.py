"""`kerastl run`: train, evaluate, and keep everything in a folder."""

from __future__ import annotations

import click

from kerastl.commands.failures import one_clear_line
from kerastl.commands.options import run_options
from kerastl.config import RunConfig


@click.command(short_help="Train, and keep the model and its results in a folder.")
@one_clear_line
@run_options
def run(config: RunConfig, overwrite: bool) -> None:
    """Fine-tune a backbone and keep the model and its results in a folder.

    The folder holds model.keras, config.toml (`--config` repeats the run),
    history.csv and metrics.json.
    """
    from kerastl import training

    def to_stderr(line: str) -> None:
        click.echo(line, err=True)

    results = training.run(config, echo=to_stderr, overwrite=overwrite)
    if not results.completed:
        raise click.ClickException(training.stopped_sentence(config, results))
    for part in ("train", "validation", "test"):
        scores = getattr(results, part)
        if scores:
            measured = "  ".join(f"{name} {value:.4f}" for name, value in sorted(scores.items()))
            click.echo(f"{part:<11} {measured}  ({results.images[part]:,} images)")
    if results.skipped_images:
        click.echo(f"{results.skipped_images} broken images were left out.")
    click.echo(f"Saved in {config.output}")
