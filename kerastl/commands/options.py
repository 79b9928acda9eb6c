"""The options of `run` and `plan`, made from the fields of `RunConfig`."""

from __future__ import annotations

import dataclasses
import functools
import os
import types
import typing
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from kerastl.backbones import foreign_code
from kerastl.data.tasks import MULTI_LABEL, REGRESSION
from kerastl.evaluation.run_record import CONFIG_FILE
from kerastl.runs import backends, config_file
from kerastl.runs.config import RunConfig

safe_mode_option = click.option(
    "--safe-mode/--no-safe-mode",
    default=True,
    show_default=True,
    help="Off: a module: backbone that a file names may be imported and called.",
)


skip_broken_option = click.option(
    "--skip-broken", is_flag=True, help="Leave broken image files out."
)


def backend_option_with(default: str) -> Callable[[Any], Any]:
    """The option `--backend`; `default` says in words what holds without it."""
    return click.option(
        "--backend",
        type=click.Choice(backends.BACKENDS),
        help=f"Keras backend (default: {default}).",
    )


backend_option = backend_option_with("the run's own, else torch")


class BlockRate(click.ParamType[tuple[str, float]]):
    """`BLOCK=R`, as in `layer4=1e-4`."""

    name = "BLOCK=R"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, float]:
        block, separator, rate = str(value).partition("=")
        try:
            number = float(rate)
        except ValueError:
            separator = ""
        if not separator or not block:
            self.fail(f"{value!r} is not BLOCK=R, as in layer4=1e-4.", param, ctx)
        return block, number


class NumberOr(click.ParamType[Any]):
    """A whole number, or a word that stands for one.

    Args:
        word: The word.
    """

    def __init__(self, word: str) -> None:
        self.name = f"INTEGER|{word}"
        self._word = word

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == self._word or isinstance(value, int):
            return value
        try:
            return int(value)
        except ValueError:
            self.fail(f"{value!r} is neither a whole number nor {self._word}.", param, ctx)


def ending_in(*endings: str) -> Callable[..., Path | None]:
    """A check of an option that names a file to write, before any work is done."""

    def check(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
        if value is not None and value.suffix.lower() not in endings:
            named = ", ".join(ending for ending in endings if ending)
            raise click.BadParameter(f"{value} must end in one of: {named}.", ctx, param)
        return value

    return check


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--config`, an option per field, `--overwrite` and `--safe-mode` to a command.

    The command takes a `RunConfig`, `overwrite` and `safe_mode`.
    """

    @functools.wraps(command)
    def with_config(config_path: Path | None = None, **given: Any) -> Any:
        given |= {"task": task_of_options(given)}
        rest = {name: given.pop(name) for name in list(given) if name not in _FIELDS}
        config = _resolve(config_path, given, safe_mode=rest["safe_mode"])
        return command(config, **rest)

    decorated: Callable[..., Any] = with_config
    for field in reversed(dataclasses.fields(RunConfig)):
        if not field.metadata["only_in_file"]:
            decorated = _option(field)(decorated)
    decorated = short_task_options(decorated)
    decorated = click.option(
        "--overwrite", is_flag=True, help="Replace the run that the output folder holds, if any."
    )(decorated)
    decorated = safe_mode_option(decorated)
    return click.option(
        "--config",
        "config_path",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="TOML file that a run wrote; options on the command line win over it.",
    )(decorated)


_FIELDS = {field.name: field for field in dataclasses.fields(RunConfig)}
_HINTS = typing.get_type_hints(RunConfig)


# Tasks that have an option of their own.
_SHORT_TASKS = (MULTI_LABEL, REGRESSION)


def short_task_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--multi-label` and `--regression`; `task_of_options` takes them in."""
    for task in reversed(_SHORT_TASKS):
        help_text = f"The same as --task {task}."
        command = click.option(f"--{task}", is_flag=True, help=help_text)(command)
    return command


def task_of_options(given: dict[str, Any]) -> str | None:
    """The task that the command line names; takes the short options out of `given`.

    Raises:
        UsageError: If it names two.
    """
    short = {f"--{task}": task for task in _SHORT_TASKS if given.pop(task.replace("-", "_"))}
    named = {f"--task {given['task']}": given["task"]} if given["task"] else {}
    options = {**named, **short}
    if len(set(options.values())) > 1:
        raise click.UsageError(f"{' and '.join(options)} name different tasks. Leave one out.")
    return next(iter(options.values()), None)


def _option(field: dataclasses.Field[Any]) -> Callable[..., Any]:
    hint = _HINTS[field.name]
    kind = typing.get_args(hint)[0] if isinstance(hint, types.UnionType) else hint
    help_text = field.metadata["help"]
    flag = f"--{field.name.replace('_', '-')}"
    has_default = field.default is not dataclasses.MISSING and kind is not bool
    if has_default and field.default not in (None, ()):
        help_text += f"  [default: {field.default}]"
    if kind is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", default=None, help=help_text)
    choices = field.metadata["choices"]
    repeated = typing.get_origin(kind) in (tuple, dict)
    if typing.get_origin(kind) is dict:
        click_type: Any = BlockRate()
    elif repeated:
        click_type = int
    elif field.metadata["word"]:
        click_type = NumberOr(field.metadata["word"])
    else:
        click_type = click.Choice(choices) if choices else kind
    if repeated:
        help_text += " May be given again."
    return click.option(flag, type=click_type, multiple=repeated, default=None, help=help_text)


def _resolve(config_path: Path | None, given: dict[str, Any], *, safe_mode: bool) -> RunConfig:
    """The file's options, then the command line's; the backend last of all from the environment."""
    given = {name: value for name, value in given.items() if value not in (None, ())}
    if "block_rate" in given:
        given["block_rate"] = dict(given["block_rate"])
    file_values = config_file.read(config_path, safe_mode=safe_mode) if config_path else {}
    if os.environ.get("KERAS_BACKEND") and "backend" not in file_values:
        given.setdefault("backend", os.environ["KERAS_BACKEND"])
    config = config_file.merged(file_values, given)
    foreign_code.check(config.backbone)
    backends.choose(config.backend)
    return config


def backend_of(model: Path, given: str | None) -> str:
    """The backend to open a model on: as told, by the environment, or as its run had it."""
    told = given or os.environ.get("KERAS_BACKEND")
    if told:
        return told
    settings = model / CONFIG_FILE
    own = config_file.read(settings).get("backend") if settings.is_file() else None
    # A model opens on every backend: one that is absent here need not stop anybody.
    return own if own and find_spec(own) else RunConfig.backend
