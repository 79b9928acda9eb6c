"""`kerastl compare`: the same training on several backends."""

from __future__ import annotations

import dataclasses

import click

from kerastl.commands.failures import Fault, Mendable, one_clear_line
from kerastl.commands.options import run_options
from kerastl.runs.backends import BACKENDS
from kerastl.runs.config import RunConfig

_OUTPUT = "kerastl-comparison"


@click.command(short_help="Train the same job on several backends.")
@one_clear_line
@click.option(
    "--backends",
    default=",".join(BACKENDS),
    show_default=True,
    help="Which, with commas between them; the first is the reference.",
)
@click.option("--strict", is_flag=True, help="Exit code 1 where a difference is beyond tolerance.")
@run_options
def compare(
    config: RunConfig, overwrite: bool, safe_mode: bool, backends: str, strict: bool
) -> None:
    """Train the same job on several backends and show how far they are apart.

    All start from the same weights and see the same batches in the same
    order, one process per backend; dropout and stochastic depth are off. The
    output folder gets comparison.json, a plot and each backend's log.
    """
    from kerastl.runs.comparison import writing
    from kerastl.runs.comparison.compare import compare as run_all

    if config.output == RunConfig.output:
        config = dataclasses.replace(config, output=_OUTPUT)
    names = [name.strip() for name in backends.split(",") if name.strip()]
    found = run_all(
        config, names, echo=lambda line: click.echo(line, err=True), overwrite=overwrite
    )
    click.echo(writing.table(found.runs, found.differences))
    click.echo(f"Saved in {config.output}")
    if found.failed:
        at_fault = any(run.is_fault for run in found.runs)
        raise (Fault if at_fault else Mendable)(
            f"{', '.join(found.failed)} did not finish, see above."
        )
    if strict and found.beyond:
        raise click.ClickException(f"{', '.join(found.beyond)} is beyond tolerance, see above.")
