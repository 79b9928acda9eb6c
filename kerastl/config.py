"""Every option of a run with its default, and the TOML file that repeats the run."""

from __future__ import annotations

import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import tomli_w

from kerastl import schedules, strategies
from kerastl.errors import unknown_name
from kerastl.prefix import modes

VERSION = 1
_VERSION_KEY = "config_version"
BACKENDS = ("torch", "jax", "tensorflow")


def _described(
    help: str,
    *,
    choices: tuple[str, ...] | None = None,
    minimum: float | None = None,
    below: float | None = None,
    positive: bool = False,
) -> dict[str, Any]:
    """What a field of `RunConfig` means and may be; the command line shows it."""
    limits = {"choices": choices, "minimum": minimum, "below": below, "positive": positive}
    return {"help": help, **limits}


def _option(default: Any, help: str, **limits: Any) -> Any:
    return field(default=default, metadata=_described(help, **limits))


@dataclass(frozen=True)
class RunConfig:
    """The options of `kerastl run` and `kerastl plan`; each field carries its own help."""

    data: str = _option("digits", "Images to train on: folder:PATH, tfds:NAME or digits.")
    backbone: str = _option(
        "bundled:efficientnet_lite0", "Pretrained network; `kerastl backbones` lists all."
    )
    weights: str = _option(
        "default", "default, a name of published weights, a local file, or none for random."
    )
    strategy: str = _option(
        strategies.AUTO,
        "What trains; auto picks by images per class and says why.",
        choices=strategies.NAMES,
    )
    freeze_through: str | None = _option(
        None, "Last frozen block of the strategy partial (default: about half way)."
    )
    learning_rate: float | None = _option(
        None, "Highest rate of the head (default: the strategy's own).", positive=True
    )
    block_rate: dict[str, float] = field(
        default_factory=dict, metadata=_described("Highest rate of one block.", positive=True)
    )
    layerwise_decay: float | None = _option(
        None, "Each block's rate over the next one's, in (0, 1].", positive=True
    )
    schedule: str = _option(
        "warmup-cosine", "How the rates change over the run.", choices=schedules.NAMES
    )
    epochs: int = _option(12, "Passes over the training images.", minimum=1)
    batch_size: int = _option(32, "Images per step.", minimum=1)
    image_size: int | None = _option(
        None, "Height and width, pixels (default: the data's, else the weights' own).", minimum=1
    )
    resize: str = _option(
        "crop", "How an image is brought to size.", choices=("crop", "squash", "pad")
    )
    background: str = _option("white", "Colour behind transparent pixels: a name or #rrggbb.")
    skip_broken: bool = _option(False, "Leave broken image files out instead of stopping.")
    validation_split: float = _option(
        0.2, "Share for validation where the data has none.", minimum=0, below=1
    )
    test_split: float = _option(
        0.2, "Share for the final test where the data has none.", minimum=0, below=1
    )
    pooling: str = _option("avg", "Pooling in front of the head.", choices=("avg", "max"))
    hidden_units: tuple[int, ...] = _option((), "Units of a hidden layer of the head.", minimum=1)
    dropout: float = _option(0.0, "Dropout rate of the head.", minimum=0, below=1)
    class_weight: str | None = _option(
        None, "balanced: rare classes count more in the loss.", choices=("balanced",)
    )
    optimizer: str = _option("adam", "Optimizer of every block.", choices=("adam", "adamw", "sgd"))
    weight_decay: float | None = _option(None, "Weight decay, not on norms and biases.", minimum=0)
    global_clipnorm: float | None = _option(
        None, "Longest gradient over all blocks.", positive=True
    )
    accumulate: int = _option(1, "Steps whose gradients make one update.", minimum=1)
    ema: float | None = _option(
        None, "Momentum of a moving average of the weights.", minimum=0, below=1
    )
    backend: str = _option("torch", "Keras backend.", choices=BACKENDS)
    precision: str = _option(
        "float32",
        "Number format of the computation.",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
    )
    cache: str = _option(
        "auto",
        "Where the frozen blocks' output is kept from epoch to epoch.",
        choices=modes.CACHE_MODES,
    )
    workers: int | None = _option(
        None, "Processes that read images (default: by data and cores).", minimum=0
    )
    seed: int = _option(0, "Seed of the split, the order and the head's first weights.", minimum=0)
    output: str = _option("kerastl-run", "Folder for the model and the results.")

    def __post_init__(self) -> None:
        for option in fields(self):
            _check(option.name, getattr(self, option.name), option.metadata)
        if self.layerwise_decay is not None and self.layerwise_decay > 1:
            raise ValueError(
                "`layerwise_decay` must be in (0, 1]. Received: "
                f"layerwise_decay={self.layerwise_decay}."
            )
        if self.validation_split + self.test_split >= 1:
            raise ValueError(
                "`validation_split` and `test_split` must leave images to train on. Received: "
                f"{self.validation_split} and {self.test_split}. Their sum must be below 1."
            )


# An option of the command line takes these of the file with it: they were
# settled for the value that it replaces.
_SETTLED_BY: dict[str, tuple[str, ...]] = {
    "backbone": ("weights", "freeze_through", "block_rate", "image_size"),
    "strategy": ("freeze_through", "learning_rate", "block_rate"),
    "freeze_through": ("strategy", "block_rate"),
    "optimizer": ("learning_rate",),
}


def merged(file_values: Mapping[str, Any], given: Mapping[str, Any]) -> RunConfig:
    """The options of a config file, the command line's winning over them.

    What the file settled for a value that the command line replaces (the
    frozen blocks of another backbone, the rate of another strategy) is
    settled anew.

    Args:
        file_values: Options by name, as `read` gives them.
        given: The options that were on the command line.

    Example:

    >>> merged({"strategy": "full", "epochs": 3}, {"epochs": 5}).epochs
    5
    """
    kept = dict(file_values)
    for name, value in given.items():
        if file_values.get(name, value) != value or name == "freeze_through":
            for settled in _SETTLED_BY.get(name, ()):
                kept.pop(settled, None)
    return RunConfig(**{**kept, **given})


def to_toml(config: RunConfig) -> str:
    """The options as TOML; an option that is None has no line."""
    values = {option.name: getattr(config, option.name) for option in fields(config)}
    plain = {name: value for name, value in values.items() if value is not None}
    plain["hidden_units"] = list(config.hidden_units)
    tables = {name: plain.pop(name) for name in list(plain) if isinstance(plain[name], dict)}
    return tomli_w.dumps({_VERSION_KEY: VERSION, **plain, **tables})


def read(path: Path) -> dict[str, Any]:
    """Read the options that a config file holds, by name.

    Args:
        path: A `config.toml` that a run wrote, or one written by hand; it may
            name only some options.

    Raises:
        ValueError: If the file is no TOML, of a newer version, or holds an
            option of the wrong type or value.
        UnknownNameError: If it names an option that does not exist.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"`config` must be a TOML file. Received: {path}, where: {error}. Correct that line."
        ) from error
    version = values.pop(_VERSION_KEY, VERSION)
    if not isinstance(version, int) or version > VERSION:
        raise ValueError(
            f"`config` must be of version {VERSION} or older. Received: {path} of version "
            f"{version}, from a newer kerastl. Run `pip install --upgrade kerastl`."
        )
    hints = typing.get_type_hints(RunConfig)
    for name in values:
        if name not in hints:
            raise unknown_name(
                "option", name, hints, how_to_list=f"{path}: `kerastl run --help` lists all."
            )
    typed = {name: _typed(name, value, hints[name], path) for name, value in values.items()}
    RunConfig(**typed)
    return typed


def check_backend(backend: str) -> None:
    """Refuse a backend that is not installed, before Keras is imported.

    Raises:
        ValueError: If so, naming what to do.
    """
    if find_spec(backend) is None:
        raise ValueError(
            f"`backend` must be installed. Received: backend={backend}. "
            f'Run `pip install "kerastl[{backend}]"`.'
        )


def color(text: str) -> tuple[int, int, int]:
    """Red, green and blue, 0-255, of a colour's name or `#rrggbb`.

    Example:

    >>> color("white")
    (255, 255, 255)
    """
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError as error:
        raise ValueError(
            f"`background` must be the name of a colour or #rrggbb. Received: background={text!r}. "
            "Write white, black or #808080, for example."
        ) from error
    return red, green, blue


def _typed(name: str, value: Any, hint: Any, path: Path) -> Any:
    """The value in the field's own type; TOML has no tuples and tells 1 from 1.0."""
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
    raise ValueError(f"`{name}` must be {wanted}. Received: {name} = {value!r} in {path}.")


def _check(name: str, value: Any, limits: Mapping[str, Any]) -> None:
    choices = limits["choices"]
    if value is None:
        return
    if choices is not None and value not in choices:
        raise unknown_name(name, value, choices, how_to_list=f"Choices: {', '.join(choices)}.")
    numbers = value.values() if isinstance(value, dict) else value
    for number in numbers if isinstance(value, dict | tuple) else (value,):
        if limits["positive"] and not 0 < number < float("inf"):
            raise ValueError(f"`{name}` must be above 0. Received: {name}={value}.")
        if limits["minimum"] is not None and not number >= limits["minimum"]:
            wanted = f"{limits['minimum']} or more"
            raise ValueError(f"`{name}` must be {wanted}. Received: {name}={value}.")
        if limits["below"] is not None and not number < limits["below"]:
            raise ValueError(f"`{name}` must be below {limits['below']}. Received: {name}={value}.")
