"""Read and write the options of a run as TOML."""

from __future__ import annotations

import os
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import tomli_w

from kerastl.backbones import foreign_code
from kerastl.data import spec_paths
from kerastl.data.split_file import POSITIONAL
from kerastl.data.tasks import MULTI_LABEL, REGRESSION
from kerastl.errors import unknown_name
from kerastl.runs.config import PHASE_OPTIONS, RunConfig
from kerastl.runs.strategies import TRAIN

VERSION = 3
_BEFORE_SOLVER = 1
_BEFORE_HASHED_SPLIT = 2
_BEFORE_RELATIVE_DATA = 2
_VERSION_KEY = "config_version"

# An option of the command line takes these of the file with it: they were
# settled for the value that it replaces.
_SETTLED_BY: dict[str, tuple[str, ...]] = {
    "backbone": ("weights", "freeze_through", "block_rate", "image_size"),
    "strategy": ("freeze_through", "learning_rate", "block_rate", "phase"),
    "solver": ("learning_rate", "block_rate", "epochs", "keep_best", "batch_norm"),
    "freeze_through": ("strategy", "block_rate"),
    "optimizer": ("learning_rate",),
    "batch_size": ("accumulate",),
}


_WORDS = {option.name: option.metadata["word"] for option in fields(RunConfig)}


def merged(file_values: Mapping[str, Any], given: Mapping[str, Any]) -> RunConfig:
    """The options of a config file, the command line's winning over them.

    What the file settled for a value that the command line replaces (the
    frozen blocks of another backbone, the rate of another strategy) is
    settled anew.

    Args:
        file_values: Options by name, as `read` gives them.
        given: The options that were on the command line.

    Raises:
        ValueError: If an option on the command line is one that the file says
            for each phase.

    Example:

    >>> merged({"strategy": "full", "epochs": 3}, {"epochs": 5}).epochs
    5
    """
    kept = dict(file_values)
    in_phases = [name for name in PHASE_OPTIONS if name in given and name != "strategy"]
    if kept.get("phase") and in_phases and "strategy" not in given:
        raise ValueError(
            f"`{in_phases[0]}` must be set in the [[phase]] list of the config file, which says it "
            f"for each phase. Received: {in_phases[0]}={given[in_phases[0]]} on the command line. "
            "Edit the file, or name a strategy to leave its phases out."
        )
    for name, value in given.items():
        if file_values.get(name, value) != value or name == "freeze_through":
            for settled in _SETTLED_BY.get(name, ()):
                kept.pop(settled, None)
    return RunConfig(**{**kept, **given})


def to_toml(config: RunConfig, folder: Path) -> str:
    """The options as TOML; an option that is None has no line.

    Args:
        config: The options.
        folder: Where the file will be: the paths of data and weights are relative to it, and
            of an `output` of this machine the name is left.
    """
    values = {option.name: getattr(config, option.name) for option in fields(config)}
    values["data"] = spec_paths.relative_to(config.data, folder)
    if Path(config.output).expanduser().is_absolute():
        values["output"] = Path(config.output).name
    if Path(config.weights).expanduser().is_file():
        values["weights"] = spec_paths.relative_path(config.weights, folder)
    plain = {name: value for name, value in values.items() if value is not None}
    plain["hidden_units"] = list(config.hidden_units)
    phases = [_without_none(overrides) for overrides in plain.pop("phase")]
    tables = {name: plain.pop(name) for name in list(plain) if isinstance(plain[name], dict)}
    if phases:
        tables["phase"] = phases
    return tomli_w.dumps({_VERSION_KEY: VERSION, **plain, **tables})


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def read(path: Path, *, safe_mode: bool = True) -> dict[str, Any]:
    """Read the options that a config file holds, by name.

    Args:
        path: A `config.toml` that a run wrote, or one written by hand; it may
            name only some options.
        safe_mode: False lets a `module:` backbone of the file be imported and called.

    Raises:
        ValueError: If the file is no TOML, of a newer version, or holds an
            option of the wrong type or value.
        UnknownNameError: If it names an option that does not exist.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise _no_toml(path, error) from error
    return parsed(text, path, safe_mode=safe_mode)


def parsed(text: str, path: Path, *, safe_mode: bool = True) -> dict[str, Any]:
    """The options in the text of a config file; raises as `read` does.

    Args:
        text: The text.
        path: The file that it came from, for messages.
        safe_mode: As in `read`.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _no_toml(path, error) from error
    written_by = values.pop(_VERSION_KEY, None)
    version = VERSION if written_by is None else written_by
    if not isinstance(version, int) or version > VERSION:
        raise ValueError(
            f"`config` must be of version {VERSION} or older. Received: {path} of version "
            f"{version}, from a newer kerastl. Run `pip install --upgrade kerastl`."
        )
    if written_by == _BEFORE_SOLVER:
        # A run of a version that trained every head: it repeats as it was.
        values = {"solver": TRAIN, **values}
    if written_by is not None and version <= _BEFORE_HASHED_SPLIT:
        values = {"split": POSITIONAL, **values}
    hints = typing.get_type_hints(RunConfig)
    values = _with_task(values)
    for name in values:
        if name not in hints:
            raise unknown_name(
                "option", name, hints, how_to_list=f"{path}: `kerastl run --help` lists all."
            )
    phases = values.pop("phase", None)
    typed = {name: _typed(name, value, hints[name], path) for name, value in values.items()}
    if phases is not None:
        typed["phase"] = _phases(phases, hints, path)
    if "data" in typed:
        typed["data"] = _found(typed["data"], path.parent, written_by)
    beside = path.parent / Path(typed.get("weights", "")).expanduser()
    if written_by == VERSION and "weights" in typed and beside.is_file():
        typed["weights"] = os.path.normpath(beside)
    if "backbone" in typed:
        typed["backbone"] = foreign_code.from_file(
            typed["backbone"], str(path), safe_mode=safe_mode
        )
    RunConfig(**typed)
    return typed


def _found(spec: str, folder: Path, written_by: int | None) -> str:
    """The data of a file: relative to its folder; once to where the command was given."""
    if written_by is not None and written_by <= _BEFORE_RELATIVE_DATA:
        return spec
    there = spec_paths.resolved(spec, folder)
    place, here = spec_paths.path_of(there), spec_paths.path_of(spec)
    by_hand = written_by is None and place is not None and not place.exists()
    return spec if by_hand and here is not None and here.exists() else there


def _with_task(values: dict[str, Any]) -> dict[str, Any]:
    """The options with the task by its name, which was two options in kerastl 0.1."""
    old = {"multi_label": MULTI_LABEL, "regression": REGRESSION}
    tasks = [task for name, task in old.items() if values.get(name) is True]
    kept = {name: value for name, value in values.items() if name not in old}
    return {**kept, "task": tasks[0]} if tasks else kept


def _no_toml(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"`config` must be a TOML file. Received: {path}, where: {error}. Correct that line."
    )


def _phases(phases: Any, hints: Mapping[str, Any], path: Path) -> tuple[dict[str, Any], ...]:
    is_list = isinstance(phases, list) and all(isinstance(phase, dict) for phase in phases)
    if not is_list or not phases:
        raise ValueError(
            f"`phase` must be a list of tables. Received: phase = {phases!r} in {path}. "
            "Write each as [[phase]] with its options below."
        )
    return tuple(
        {
            # An unknown name is named by RunConfig, with those that there are.
            name: _typed(name, value, hints[name], path) if name in PHASE_OPTIONS else value
            for name, value in phase.items()
        }
        for phase in phases
    )


def _typed(name: str, value: Any, hint: Any, path: Path) -> Any:
    """The value in the field's own type; TOML has no tuples and tells 1 from 1.0."""
    if isinstance(value, str) and value == _WORDS[name]:
        return value
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    kind = kinds[0]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and number:
        return float(value)
    if typing.get_origin(kind) is tuple and isinstance(value, list):
        if all(type(unit) is int for unit in value):
            return tuple(value)
    elif typing.get_origin(kind) is dict and isinstance(value, dict):
        if all(isinstance(rate, int | float) for rate in value.values()):
            return {key: float(rate) for key, rate in value.items()}
    elif type(value) is kind:
        return value
    words = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
    wanted = words.get(kind) or (
        "a list of whole numbers" if name == "hidden_units" else "a table of numbers"
    )
    wanted += f" or {_WORDS[name]}" if _WORDS[name] else ""
    raise ValueError(f"`{name}` must be {wanted}. Received: {name} = {value!r} in {path}.")
