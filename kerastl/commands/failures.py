"""Turn errors that the user can mend into one line and exit code 1."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from kerastl.errors import sentence


def one_clear_line(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--debug` to a command; without it, errors become one line and exit code 1."""

    @click.option("--debug", is_flag=True, help="Show the traceback of an error.")
    @functools.wraps(command)
    def wrapped(*args: Any, debug: bool, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            raise click.ClickException("Stopped.") from None
        except Exception as error:
            if debug:
                raise
            raise click.ClickException(sentence(error)) from error

    return wrapped
