"""Turn errors into one line and an exit code: the user can mend them, or the program is at fault.

Exit codes: 1 for an error that the user can mend, 3 for a fault of the program, 130 after Ctrl-C,
143 after another signal that asks to end. Click's 2 is for wrong usage.
"""

from __future__ import annotations

import functools
import time
import traceback
from collections.abc import Callable
from typing import Any

import click

from kerastl.errors import is_fault, sentence, worker_error
from kerastl.internals.loaders import let_workers_end
from kerastl.processes.group import is_first, several
from kerastl.runs.interrupts import CTRL_C


class Mendable(click.ClickException):
    """An error that the user can mend."""


class Fault(click.ClickException):
    """A fault of the program."""

    exit_code = 3


class StoppedByCtrlC(click.ClickException):
    """What Ctrl-C ended."""

    exit_code = 130


class StoppedBySignal(click.ClickException):
    """What another signal ended, by the number that shells give for SIGTERM."""

    exit_code = 143


def one_clear_line(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--debug` to a command; without it, errors become one line and an exit code."""

    @click.option("--debug", is_flag=True, help="Show the traceback of an error.")
    @functools.wraps(command)
    def wrapped(*args: Any, debug: bool, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt as stop:
            signal = str(stop.args[0]) if stop.args else CTRL_C
            raise stopped("Stopped.", signal) from None
        except Exception as error:
            let_workers_end()
            _let_the_first_speak()
            if debug and not is_fault(error):
                raise
            told = worker_error(error) or error
            if debug:
                click.echo(traceback.format_exc(), err=True)
            raise (Fault if is_fault(told) else Mendable)(sentence(told)) from error

    return wrapped


def _let_the_first_speak() -> None:
    """Of several processes with one error the first one tells it; its launcher ends the others."""
    if several() and not is_first():
        time.sleep(_LATER)


# Seconds; launchers look after their processes several times a second.
_LATER = 3.0


def stopped(text: str, signal: str) -> click.ClickException:
    """What ends a command that a signal has stopped.

    Args:
        text: What is kept.
        signal: Name of the signal.
    """
    return (StoppedByCtrlC if signal == CTRL_C else StoppedBySignal)(text)
