"""Load the images for a command that works on a saved model."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from kerastl.data.split_file import POSITIONAL
from kerastl.errors import sentence
from kerastl.evaluation.run_record import CONFIG_FILE, SPLIT_FILE
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


def split_of(model: Path, config: RunConfig) -> Path | None:
    """The file that says which images of a run were its test, where `config` is of its data.

    Args:
        model: A run folder or a `.keras` file.
        config: The options to load images with.
    """
    file = model / SPLIT_FILE
    return file if file.is_file() and _of_run(model).get("data") == config.data else None


def split_notes(model: Path, config: RunConfig, images: Any) -> list[str]:
    """What to know before scores on these images are believed, one sentence each.

    Args:
        model: A run folder or a `.keras` file.
        config: The options that the images were loaded with.
        images: What was loaded.
    """
    from kerastl.data import split_file

    notes = list(images.notes)
    file = model / SPLIT_FILE
    of_run = _of_run(model)
    if of_run.get("data") == config.data and of_run.get("split") == POSITIONAL:
        return [
            *notes,
            f"{model} is a run of kerastl 0.1, which wrote down no split: its parts are drawn by "
            "each image's position again. If files were added or removed since, images that it "
            "was trained on are in its test part now; run again to be sure.",
        ]
    if of_run.get("data") == config.data or not file.is_file():
        return notes
    trained_on = split_file.load(file).digests("train", "validation")
    parts = ["test"] if images.sizes["test"] else list(images.sizes)
    rows = [row for row in images.split_rows() if row.part in parts]
    seen = sum(row.digest in trained_on for row in rows)
    if seen:
        notes.append(
            f"{seen:,} of these {len(rows):,} images are ones that the model was trained on, byte "
            "for byte, so this is no test of it. Leave them out."
        )
    return notes


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
