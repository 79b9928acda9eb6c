"""`kerastl backbones`: every backbone that can be named."""

from __future__ import annotations

import click

from kerastl.backbones.registry import SOURCES, describe, list_backbones
from kerastl.commands.failures import one_clear_line
from kerastl.internals.tables import align

_HEADER = ("name", "source", "parameters", "input", "top-1", "weights here")


@click.command(short_help="List all backbones.")
@one_clear_line
@click.option(
    "--source",
    type=click.Choice([name for name in SOURCES if name != "module"]),
    help="Only these.",
)
def backbones(source: str | None) -> None:
    """List the backbones: parameters, input size in pixels, published ImageNet top-1 in %.

    The last column says whether the default weights are on this machine. Any
    torch module is a backbone too: module:python.path:callable.
    """
    click.echo(align([_HEADER, *(_row(spec) for spec in list_backbones(source))], right=(2, 3, 4)))


def _row(spec: str) -> tuple[str, ...]:
    info = describe(spec)
    return (
        spec,
        spec.partition(":")[0],
        "-" if info.num_parameters is None else f"{info.num_parameters:,}",
        "-" if info.image_size is None else str(info.image_size),
        "-" if info.top1 is None else f"{info.top1:.1f}",
        "yes" if info.weights_on_disk else "no",
    )
