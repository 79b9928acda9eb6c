"""An error that the user can mend is one clear line and exit code 1."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from kerastl.errors import reason_of

_KERAS_WRAPPER = "Exception encountered when calling"
_MENDABLE = (ValueError, TypeError, OSError, RuntimeError, ImportError)


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


def sentence(error: Exception) -> str:
    """What an error says to the user.

    Example:

    >>> sentence(FileNotFoundError(2, "No such file or directory", "flowers"))
    'No such file or directory: flowers'
    >>> sentence(KeyError("stem"))
    "KeyError: 'stem'. This is a fault of kerastl; --debug shows where."
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f": {error.filename}" if error.filename else "")
    if isinstance(error, _MENDABLE) and str(error).strip():
        return reason_of(error) if _KERAS_WRAPPER in str(error) else str(error).strip()
    return f"{type(error).__name__}: {error}. This is a fault of kerastl; --debug shows where."
