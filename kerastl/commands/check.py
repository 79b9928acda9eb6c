"""`kerastl check`: what is wrong with a data set, before a model is trained on it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from kerastl.commands.failures import one_clear_line
from kerastl.commands.options import short_task_options, task_of_options
from kerastl.data.tasks import CLASSIFICATION, TASKS
from kerastl.runs import backends
from kerastl.runs.config import RunConfig

PAGE_FILE = "check.html"


@click.command(short_help="Look for copies, leaks, wrong labels and broken files.")
@one_clear_line
@click.argument("data")
@click.option(
    "--backbone",
    default=RunConfig.backbone,
    show_default=True,
    help="Network for likely label errors; none: without them, which is much faster.",
)
@click.option("--weights", default="default", show_default=True, help="Of the backbone.")
@click.option(
    "--image-size",
    type=click.IntRange(min=1),
    help="Height and width for the network, pixels (default: the data's or the weights' own).",
)
@click.option(
    "--task",
    type=click.Choice(TASKS),
    help=f"What the labels are.  [default: {CLASSIFICATION}]",
)
@short_task_options
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option(
    "--write",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.csv",
    help="Write a row per finding and image, with a proposed action.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=PAGE_FILE,
    show_default=True,
    help="Page with the pictures.",
)
@click.option("--page/--no-page", default=True, show_default=True, help="Whether to write it.")
@click.option("--strict", is_flag=True, help="Exit code 1 where there is a leak or contradiction.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of folds.")
@click.pass_context
def check(
    context: click.Context,
    data: str,
    backbone: str,
    weights: str,
    image_size: int | None,
    as_json: bool,
    write: Path | None,
    output: Path,
    page: bool,
    strict: bool,
    seed: int,
    **task: Any,
) -> None:
    """Look for what spoils a training or its scores in DATA, and change nothing.

    DATA is what `kerastl run --data` takes. Found are broken and half-empty
    files, exact and near copies, leaks between the data's own parts, the same
    picture under two labels, odd images, rare classes, names that nearly
    agree, shortcuts, and likely label errors. The exit code is 0 whatever is
    found, unless --strict is given.
    """
    backends.choose(os.environ.get("KERAS_BACKEND", RunConfig.backend))
    from kerastl.checking import writing
    from kerastl.checking.check import check_data
    from kerastl.checking.page import check_page_path

    if page:
        check_page_path(output)
    if write is not None:
        writing.check_csv_path(data, write)
    found = check_data(
        data,
        backbone=None if backbone.lower() == "none" else backbone,
        weights=weights,
        image_size=image_size,
        task=task_of_options(task) or CLASSIFICATION,
        seed=seed,
        progress=True,
    )
    if page:
        found.write_page(output)
    if write is not None:
        found.write_csv(write)
    click.echo(json.dumps(found.to_dict(), indent=2) if as_json else writing.text(found))
    for what, path in (("Page", output if page else None), ("Table", write)):
        if path is not None:
            click.echo(f"{what} in {path}", err=as_json)
    if strict and found.is_grave:
        context.exit(1)
