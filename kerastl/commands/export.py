"""`kerastl export`: a saved model as a file for another runtime."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from kerastl.commands.failures import one_clear_line
from kerastl.commands.model_data import data_config, split_of
from kerastl.commands.options import (
    backend_of,
    backend_option_with,
    safe_mode_option,
)
from kerastl.errors import sentence
from kerastl.evaluation.run_record import model_file
from kerastl.exporting import formats
from kerastl.exporting.formats import FORMATS, ExportFormat
from kerastl.runs import backends


@click.command(short_help="Write a model for ONNX Runtime, LiteRT, OpenVINO and others.")
@one_clear_line
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "format_name",
    type=click.Choice(list(FORMATS)),
    required=True,
    help="What to write.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="The file, or the folder of a SavedModel (default: beside the model).",
)
@backend_option_with("one that can write the format")
@click.option("--data", help="Images to compare on (default: the run's test part).")
@safe_mode_option
def export(
    model: Path,
    format_name: str,
    output: Path | None,
    backend: str | None,
    data: str | None,
    safe_mode: bool,
) -> None:
    """Write MODEL as a file that runs without kerastl, and compare the two.

    MODEL is a run folder or a .keras file. The file takes pixels 0-255, float32
    (batch, height, width, 3), and gives probabilities; class names and image
    size are in its metadata. It is opened by its own runtime and kept only if
    no probability is more than 1e-4 from the model's.
    """
    file = model_file(model)
    kind = FORMATS[format_name]
    backends.choose(_backend(kind, model, backend))
    formats.check_installed(kind)
    target = output or formats.default_path(kind, file)
    # Results alone go to stdout, whatever converters print.
    with contextlib.redirect_stdout(sys.stderr):
        from kerastl.exporting.export import export_model
        from kerastl.model.files import load_model

        classifier = load_model(file, safe_mode=safe_mode)
        images, which = _images(model, data, classifier)
        report = export_model(classifier, target, format=kind.name, images=images)
    click.echo(f"Saved {report.path}, {report.size / 1e6:,.1f} MB, for {kind.opened_with}")
    click.echo(
        f"largest difference {report.max_difference:.1e} over {report.num_images} images ({which})"
    )


def _backend(kind: ExportFormat, model: Path, given: str | None) -> str:
    """The backend that writes: as told, the model's own if it can, else an installed one."""
    if given is not None:
        formats.check_backend(kind, given)
        return given
    usual = backend_of(model, None)
    if usual in kind.backends:
        return usual
    chosen = next((name for name in kind.backends if find_spec(name)), kind.backends[0])
    click.echo(f"{kind.name} is written on the {chosen} backend.", err=True)
    return chosen


def _images(model: Path, data: str | None, classifier: Any) -> tuple[Any, str]:
    """Pixels to compare on and what they are; None for the package's own photographs."""
    photographs = None, "two photographs of scikit-learn, in squares"
    from kerastl.exporting.checking import NUM_IMAGES
    from kerastl.runs import training

    try:
        config = data_config(model, data)
        if config is None:
            return photographs
        config = dataclasses.replace(config, batch_size=NUM_IMAGES, workers=0, skip_broken=True)
        loaded = training.load_images(config, classifier, split=split_of(model, config))
        part = "test" if loaded.test is not None else "train"
        images, _ = next(iter(loaded.in_order(part)))
    except (OSError, ValueError, ImportError) as error:
        if data is not None:
            raise
        click.echo(f"The run's own images cannot be read: {sentence(error)}", err=True)
        return photographs
    return images, f"{config.data}, {part} part"
