"""Load the images for a command that works on a saved model."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from kerastl.errors import sentence
from kerastl.evaluation.run_record import CONFIG_FILE
from kerastl.runs import config as configs
from kerastl.runs import config_file
from kerastl.runs.config import RunConfig

BATCH_SIZE = 32


def data_config(model: Path, data: str | None) -> RunConfig | None:
    """The options to load labelled images with.

    Args:
        model: A run folder or a `.keras` file.
        data: A data spec; None for the run's own data, split as in the run.

    Returns:
        The run's options, without any split for other data than its own; None
        where neither the user nor the run says which data.
    """
    of_run = _of_run(model)
    if data is None and "data" not in of_run:
        return None
    config = RunConfig(**of_run)
    if data is not None and data != of_run.get("data"):
        return dataclasses.replace(config, data=data, validation_split=0.0, test_split=0.0)
    return config


def background_of(model: Path) -> tuple[int, int, int]:
    """The colour behind transparent pixels: the run's, where it is known."""
    return configs.color(str(_of_run(model).get("background", RunConfig.background)))


def batched(paths: Sequence[Path], size: int = BATCH_SIZE) -> Iterator[list[Path]]:
    """The paths, `size` at a time."""
    remaining = iter(paths)
    while batch := list(itertools.islice(remaining, size)):
        yield batch


def read_images(
    paths: Sequence[Path], classifier: Any, background: tuple[int, int, int]
) -> Iterator[tuple[Path, Any]]:
    """Each file's pixels, or None after its error went to stderr."""
    from kerastl.data import load_image

    for path in paths:
        try:
            pixels = load_image(
                path,
                image_size=classifier.image_size,
                resize=classifier.resize,
                resizing=classifier.resizing,
                background=background,
            )
            yield path, pixels
        except (OSError, ValueError) as error:
            message = sentence(error)
            click.echo(message if str(path) in message else f"{path}: {message}", err=True)
            yield path, None


def _of_run(model: Path) -> dict[str, Any]:
    settings = model / CONFIG_FILE
    return config_file.read(settings) if settings.is_file() else {}
