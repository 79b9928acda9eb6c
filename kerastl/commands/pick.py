"""`kerastl pick`: which backbone, and how deep to freeze, for these images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from kerastl.commands.failures import one_clear_line
from kerastl.data.resizing import RESIZE_MODES
from kerastl.internals.folder_lock import holding
from kerastl.internals.whole_files import remove_unfinished
from kerastl.runs import backends
from kerastl.runs.config import RunConfig
from kerastl.runs.faults import writing_faults
from kerastl.runs.picking.results import DEFAULT_MINUTES, DEFAULT_OUTPUT


class SpecWeights(click.ParamType[tuple[str, str]]):
    """`SPEC=FILE`, as in `keras:MobileNet?alpha=0.25=weights.h5`: the last `=` counts."""

    name = "SPEC=FILE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        spec, separator, weights = str(value).rpartition("=")
        if not separator or not spec or not weights:
            self.fail(f"{value!r} is not SPEC=FILE, as in torchvision:resnet18=r.pth.", param, ctx)
        return spec, weights


@click.command(short_help="Find a backbone for your images.")
@one_clear_line
@click.option("--data", required=True, metavar="SPEC", help="Images, as `kerastl run` takes them.")
@click.option(
    "--backbones",
    multiple=True,
    metavar="GLOB",
    help="A spec, a glob over `kerastl backbones`, or curated (default: all whose weights are "
    "here). May be given again.",
)
@click.option(
    "--weights",
    type=SpecWeights(),
    multiple=True,
    help="Weights of one backbone: a local file, a published name, or none. May be given again.",
)
@click.option(
    "--minutes",
    type=float,
    default=DEFAULT_MINUTES,
    show_default=True,
    help="Time that it may take.",
)
@click.option(
    "--image-size",
    "image_sizes",
    type=click.IntRange(min=1),
    multiple=True,
    help="Height and width to try, pixels (default: the data's or the weights' own, and half of "
    "it). May be given again.",
)
@click.option(
    "--resize",
    type=click.Choice(RESIZE_MODES),
    default=RunConfig.resize,
    show_default=True,
    help="How an image is brought to size.",
)
@click.option("--skip-broken", is_flag=True, help="Leave broken image files out.")
@click.option(
    "--seed",
    type=click.IntRange(min=0, max=2**32 - 1),
    default=0,
    show_default=True,
    help="Seed of split, folds.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=DEFAULT_OUTPUT,
    show_default=True,
    help="Folder for pick.html, pick.json and candidates.csv.",
)
@click.option("--overwrite", is_flag=True, help="Replace the search that the folder holds.")
def pick(output: Path, overwrite: bool, **options: Any) -> None:
    """Measure which backbone, image size and frozen blocks suit your images.

    Features of all images but the test part are computed once, and kept: see
    `kerastl cache`. The head is solved in five folds; of what is within the
    noise of the best the fastest is recommended, and fine-tuned for some
    steps. The last line is the command to go on with.
    """
    backends.choose(os.environ.get("KERAS_BACKEND", RunConfig.backend))
    from kerastl.runs.picking import writing
    from kerastl.runs.picking.pick import pick as find

    if output.exists() and not output.is_dir():
        writing.check_output(output, overwrite=overwrite)
    with holding(output), writing_faults(output):
        writing.check_output(output, overwrite=overwrite)
        remove_unfinished(output)
        backbones, weights = options.pop("backbones"), dict(options.pop("weights"))
        found = find(
            options.pop("data"),
            backbones or None,
            weights=weights,
            echo=lambda line: click.echo(line, err=True),
            **options,
        )
        writing.write(found, output)
    click.echo(writing.text(found))
    click.echo(f"\nPage in {output / writing.PAGE_FILE}. To go on:")
    click.echo(found.recommendation.command)
