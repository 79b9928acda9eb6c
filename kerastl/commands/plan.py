"""`kerastl plan`: what a run would do, nothing trained and nothing written."""

from __future__ import annotations

from pathlib import Path

import click

from kerastl.commands.failures import one_clear_line
from kerastl.commands.options import run_options
from kerastl.config import RunConfig


@click.command(short_help="Show what `run` would do.")
@one_clear_line
@run_options
def plan(config: RunConfig, overwrite: bool) -> None:
    """Show what `kerastl run` with the same options would do, and do nothing."""
    from kerastl import planning, training

    training.check_output(Path(config.output).expanduser(), overwrite=overwrite)
    prepared = training.prepare(
        config, echo=lambda line: click.echo(line, err=True), only_plan=True
    )
    settled, steps = prepared.config, prepared.total_steps
    images = ", ".join(f"{part} {count:,}" for part, count in prepared.data.sizes.items())
    lines = {
        "strategy": prepared.strategy.reason,
        "data": f"{settled.data}: {prepared.data.num_classes} classes; images: {images}",
        "backbone": f"{settled.backbone}, weights {settled.weights}, "
        f"{settled.image_size} x {settled.image_size} pixels ({settled.resize})",
        "steps": f"{steps:,} in {settled.epochs} epochs of batches of {settled.batch_size}",
        "rates": f"{settled.schedule}, optimizer {settled.optimizer}",
        "cache": training.planned_cache(prepared),
        "output": settled.output,
    }
    for name, text in lines.items():
        click.echo(f"{name:<9} {text}")
    click.echo("\n" + planning.plan_table(planning.block_plan(prepared.model, steps)))
