"""Jinja for pages, and numbers as a reader wants them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


def environment(package: str, *, autoescape: bool) -> Environment:
    """Jinja with a package's templates and `page.css`, in which a missing value is an error.

    Args:
        package: Dotted name of the package that has a folder `templates/`.
        autoescape: Whether values are escaped, as HTML wants it.
    """
    made = Environment(
        loader=ChoiceLoader(
            [PackageLoader(package, "templates"), PackageLoader("kerastl.pages", "templates")]
        ),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {
        "percent": lambda share: f"{100 * share:.1f} %",
        "rate": lambda rate: f"{rate:.3g}",
        "seconds": readable_seconds,
        "option": readable_option,
    }
    return made


def readable_seconds(seconds: float) -> str:
    """A time in the unit that suits it.

    Example:

    >>> readable_seconds(3.21), readable_seconds(75), readable_seconds(7300)
    ('3.2 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def readable_option(value: Any) -> str:
    """An option's value as a reader wants it.

    Example:

    >>> readable_option({"head": 0.001}), readable_option(()), readable_option(True)
    ('head=0.001', 'none', 'yes')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={readable_option(each)}" for key, each in value.items()) or "none"
    if isinstance(value, Sequence) and not isinstance(value, str):
        between = "; " if any(isinstance(each, Mapping) for each in value) else ", "
        return between.join(map(readable_option, value)) or "none"
    return "none" if value is None else str(value)
