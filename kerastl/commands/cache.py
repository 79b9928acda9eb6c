"""`kerastl cache`: what is kept of features, and how to clear it."""

from __future__ import annotations

import click

from kerastl.commands.failures import one_clear_line


@click.command(short_help="Show or clear the kept features.")
@one_clear_line
@click.option("--clear", is_flag=True, help="Remove all of them.")
def cache(clear: bool) -> None:
    """Show where `kerastl pick` keeps features, how many, and how much they may take.

    The environment variable KERASTL_CACHE moves the folder, and
    KERASTL_CACHE_LIMIT sets the limit in bytes; what was used least recently
    goes first.
    """
    from kerastl.prefix.feature_files import FeatureFiles

    files = FeatureFiles()
    if clear:
        size = files.num_bytes
        click.echo(f"Removed {files.clear():,} entries, {size / 1e6:,.1f} MB, in {files.folder}")
        return
    click.echo(f"folder   {files.folder}")
    click.echo(f"entries  {files.num_entries:,}")
    click.echo(f"size     {files.num_bytes / 1e6:,.1f} MB")
    click.echo(f"limit    {files.limit / 1e6:,.1f} MB")
