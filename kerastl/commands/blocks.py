"""`kerastl blocks`: what a backbone is made of."""

from __future__ import annotations

import click

from kerastl.commands.failures import one_clear_line
from kerastl.internals.tables import align


@click.command(short_help="Show the blocks of a backbone.")
@one_clear_line
@click.argument("spec")
@click.option(
    "--image-size",
    type=click.IntRange(min=1),
    help="Height and width, pixels (default: the weights' own).",
)
def blocks(spec: str, image_size: int | None) -> None:
    """Show each block of the backbone SPEC: layers, parameters, output shape."""
    from kerastl.model.block_table import block_table

    rows = [
        (
            row.name,
            row.layers,
            f"{row.num_parameters:,}",
            " x ".join(str(size) for size in row.output_shape),
        )
        for row in block_table(spec, image_size)
    ]
    click.echo(align([("block", "layers", "parameters", "output shape"), *rows], right=(2,)))
