"""The command line: `kerastl`, one module per command. Imports neither torch nor Keras."""

from __future__ import annotations

import os
import sys

import click

from kerastl.commands.backbones import backbones
from kerastl.commands.blocks import blocks
from kerastl.commands.cache import cache
from kerastl.commands.check import check
from kerastl.commands.compare import compare
from kerastl.commands.embed import embed
from kerastl.commands.evaluate import evaluate
from kerastl.commands.export import export
from kerastl.commands.find_rate import find_rate
from kerastl.commands.pick import pick
from kerastl.commands.plan import plan
from kerastl.commands.predict import predict
from kerastl.commands.run import run
from kerastl.internals.unread_output import drop_unread_output
from kerastl.internals.versions import __version__
from kerastl.processes.group import several
from kerastl.processes.launch import launched

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="kerastl")
@click.pass_context
def main(context: click.Context) -> None:
    """Fine-tune a pretrained image backbone into a classifier for your own images.

    `kerastl run` without options trains on handwritten digits, offline.
    Results go to stdout, progress to stderr. Exit code: 0 done, 1 an error
    that you can mend, 2 wrong usage, 3 a fault of the program, 130 stopped by
    Ctrl-C, 143 by another signal.
    """
    if several() and context.invoked_subcommand != "run":
        raise click.UsageError(
            f"`kerastl {context.invoked_subcommand}` must be one process. Received: "
            f"{launched().world_size} processes, started by {launched().launcher}. Only "
            "`kerastl run` trains in several; leave the launcher out."
        )
    # `predict` gives nothing but what it prints: it ends when nobody reads on.
    drop_unread_output(results=context.invoked_subcommand != "predict")
    # A `module:` backbone is found in the folder that the command runs in, after all else.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


_COMMANDS = (
    run,
    check,
    plan,
    find_rate,
    pick,
    backbones,
    blocks,
    evaluate,
    predict,
    embed,
    export,
    compare,
    cache,
)
for command in _COMMANDS:
    main.add_command(command)
