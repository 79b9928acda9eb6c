"""`kerastl plan`: what a run would do, nothing trained and nothing written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from kerastl.backbones.foreign_code import names_code
from kerastl.commands.failures import one_clear_line
from kerastl.commands.options import ending_in, run_options
from kerastl.internals.whole_files import write_whole
from kerastl.runs.config import RunConfig


@click.command(short_help="Show what `run` would do.")
@one_clear_line
@click.option(
    "--write",
    "config_out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the options as settled, phases among them, to a config file to edit.",
)
@click.option(
    "--preview",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=ending_in(".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".pdf"),
    help="Draw a contact sheet: training images as the first epochs would show them.",
)
@run_options
def plan(
    config: RunConfig,
    overwrite: bool,
    safe_mode: bool,
    config_out: Path | None,
    preview: Path | None,
) -> None:
    """Show what `kerastl run` with the same options would do, and do nothing."""
    from kerastl.data.preview import contact_sheet
    from kerastl.data.understanding import described
    from kerastl.runs import config_file, training
    from kerastl.runs.folds.cutting import notes
    from kerastl.runs.options_page import changed_options
    from kerastl.runs.solver import AUTO_RULE, HEAD_IS

    training.check_output(Path(config.output).expanduser(), overwrite=overwrite)
    prepared = training.prepare(
        config, echo=lambda line: click.echo(line, err=True), only_plan=True
    )
    settled = prepared.config
    epochs = sum(phase.epochs for phase in prepared.phases)
    steps = f"{prepared.total_steps:,} in {epochs} epochs of batches of {settled.batch_size}"
    if settled.accumulate > 1:
        steps += f", {settled.accumulate} of which make one update"
    lines = {
        "backbone": f"{settled.backbone}, weights {settled.weights}, "
        f"{settled.image_size} x {settled.image_size} pixels ({settled.resize})",
        "head": f"{HEAD_IS[prepared.solver.name]} {prepared.solver.why}",
        **({"memory": prepared.fits.line} if prepared.fits else {}),
        "steps": steps if epochs else "none: the head is solved on the frozen features",
        "output": settled.output,
    }
    if settled.folds:
        for line in notes(prepared.data, settled.folds):
            click.echo(line, err=True)
        lines["folds"] = training.planned_folds(prepared)
        if not prepared.is_only_solved:
            lines.pop("steps")  # of a run without folds
    given = {name: value for name, value in changed_options(config).items() if name != "phase"}
    if given:
        lines["options"] = ", ".join(f"{name}={value!r}" for name, value in given.items())
    for name, line in [("data", settled.data), *described(prepared.data)]:
        _echo_lines({name: line})
    _echo_lines(lines)
    if prepared.is_open:
        click.echo("\nAuto, once the head is solved:")
        _echo_lines(AUTO_RULE)
    for number in range(len(prepared.phases)):
        click.echo("\nIf only the head is solved:" if prepared.is_open else "")
        _echo_phase(prepared, number)
    if preview is not None:
        write_whole(preview, contact_sheet(prepared.data).save)
        click.echo(f"\nContact sheet in {preview}", err=True)
    if config_out is not None:
        text = config_file.to_toml(settled, config_out.parent)
        write_whole(config_out, lambda path: path.write_text(text, encoding="utf-8"))
        allowed = " --no-safe-mode" if names_code(settled.backbone) else ""
        command = f"kerastl run --config {config_out}{allowed}"
        click.echo(f"\nWritten to {config_out}: {command}", err=True)


def _echo_phase(prepared: Any, number: int) -> None:
    from kerastl.model import plan as planning
    from kerastl.runs import training

    phase = prepared.phases[number]
    training.begin_phase(prepared, number)
    if len(prepared.phases) > 1:
        click.echo(f"Phase {number + 1} of {len(prepared.phases)}, epochs: {phase.epochs}")
    lines = {"strategy": phase.strategy.reason}
    if phase.epochs:
        lines |= {
            "rates": f"{phase.schedule}, optimizer {prepared.config.optimizer}",
            "cache": training.planned_cache(prepared, number),
        }
    _echo_lines(lines)
    steps = phase.epochs * len(prepared.data.train)
    rows = planning.block_plan(prepared.model, steps)
    click.echo(planning.plan_table(rows, trained="yes" if steps else "solved"))


def _echo_lines(lines: Mapping[str, str]) -> None:
    for name, text in lines.items():
        click.echo(f"{name:<9} {text}")
