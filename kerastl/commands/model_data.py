"""Load the images for a command that works on a saved model."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from kerastl.data import split_file
from kerastl.data.digests import file_digest
from kerastl.data.spec_paths import path_of, same_data, with_path
from kerastl.data.split_file import POSITIONAL
from kerastl.errors import sentence
from kerastl.evaluation.run_record import (
    CONFIG_FILE,
    METRICS_FILE,
    SPLIT_FILE,
    changed_files,
    load_metrics,
)
from kerastl.runs import config as configs
from kerastl.runs import config_file
from kerastl.runs.config import RunConfig

BATCH_SIZE = 32

# Of a namesake: enough to know that it is the run's own.
_LOOKED_AT = 50


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
    if data is None:
        _check_is_there(model, config.data)
    if data is not None and not same_data(data, of_run.get("data")):
        return dataclasses.replace(config, data=data, validation_split=0.0, test_split=0.0)
    return config


def split_of(model: Path, config: RunConfig) -> Path | None:
    """The file that says which images of a run were its test, where `config` is of its data.

    Args:
        model: A run folder or a `.keras` file.
        config: The options to load images with.
    """
    file = model / SPLIT_FILE
    own = same_data(_of_run(model).get("data"), config.data)
    return file if file.is_file() and own else None


def split_notes(model: Path, config: RunConfig, images: Any) -> list[str]:
    """What to know before scores on these images are believed, one sentence each.

    Args:
        model: A run folder or a `.keras` file.
        config: The options that the images were loaded with.
        images: What was loaded.
    """
    notes = list(images.notes)
    file = model / SPLIT_FILE
    of_run = _of_run(model)
    own = same_data(of_run.get("data"), config.data)
    if own and not file.is_file() and of_run.get("split") == POSITIONAL:
        return [
            *notes,
            f"{model} is a run of kerastl 0.1, which wrote down no split: its parts are drawn by "
            "each image's position again. If files were added or removed since, images that it "
            "was trained on are in its test part now; run again to be sure.",
        ]
    if own and not file.is_file() and path_of(config.data) is not None:
        return [
            *notes,
            f"{model} has no {SPLIT_FILE}, so its parts are drawn anew: if files were added or "
            "removed since, images that it was trained on may be in its test part now.",
        ]
    if own or not file.is_file():
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


def changed_notes(model: Path) -> list[str]:
    """Which files of a run are not what the run wrote, one sentence each.

    Args:
        model: A run folder or a `.keras` file.
    """
    if not (model / METRICS_FILE).is_file():
        return []
    try:
        names = changed_files(model, load_metrics(model))
    except ValueError as error:
        return [sentence(error)]
    return [
        f"{model / name} is not the file that the run wrote, by its digest in {METRICS_FILE}: it "
        "was saved again since, or it is damaged."
        for name in names
    ]


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
                white=classifier.white,
            )
            yield path, pixels
        except (OSError, ValueError) as error:
            message = sentence(error)
            click.echo(message if str(path) in message else f"{path}: {message}", err=True)
            yield path, None


def _of_run(model: Path) -> dict[str, Any]:
    """The options of a run folder, its data where they are now; none of a `.keras` file."""
    settings = model / CONFIG_FILE
    values = config_file.read(settings) if settings.is_file() else {}
    if "data" in values and (place := _elsewhere(model, values["data"])) is not None:
        values["data"] = with_path(values["data"], place)
    return values


def _places(model: Path, path: Path) -> list[Path]:
    """Where the data of a run may be, if they are not where they were."""
    names = (Path.cwd() / path.name, model.absolute().parent / path.name)
    return list(dict.fromkeys(place for place in names if place != path.absolute()))


def _elsewhere(model: Path, spec: str) -> Path | None:
    """The path of a run's data that were moved: a namesake with the same content."""
    path = path_of(spec)
    file = model / SPLIT_FILE
    if path is None or path.exists() or not file.is_file():
        return None
    rows = split_file.load(file).rows
    for place in _places(model, path):
        root = place if place.is_dir() else place.parent
        present = [row for row in rows if row.digest and (root / row.path).is_file()][:_LOOKED_AT]
        if present and all(file_digest(root / row.path) == row.digest for row in present):
            return place
    return None


def _check_is_there(model: Path, spec: str) -> None:
    path = path_of(spec)
    if path is not None and not path.exists():
        places = ", ".join(map(str, (path, *_places(model, path))))
        raise ValueError(
            f"The data of {model} must be where they were, or be named. Looked for the images "
            f"that its {SPLIT_FILE} lists in: {places}. Say where they are: --data SPEC."
        )
