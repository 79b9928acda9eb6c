"""`kerastl predict`: the classes of image files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from kerastl.commands.failures import one_clear_line
from kerastl.commands.model_data import background_of, batched, read_images
from kerastl.commands.options import backend_of, backend_option, safe_mode_option
from kerastl.data.tasks import CLASSIFICATION, REGRESSION
from kerastl.evaluation.run_record import model_file
from kerastl.internals.printable import printable
from kerastl.runs import backends


@click.command(short_help="Name the classes of images.")
@one_clear_line
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option(
    "--top", type=click.IntRange(min=1), default=3, show_default=True, help="Classes per image."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per image and line.")
@backend_option
@safe_mode_option
def predict(
    model: Path,
    images: tuple[str, ...],
    top: int,
    as_json: bool,
    backend: str | None,
    safe_mode: bool,
) -> None:
    """Print the most probable classes of each IMAGE: files, folders or globs.

    Of a regression, its numbers.

    MODEL is a run folder or a .keras file. A file that is no image is named on
    stderr, the others go on, and the exit code is 1.
    """
    file = model_file(model)
    backends.choose(backend_of(model, backend))
    from kerastl.data import image_files
    from kerastl.model.files import load_model

    paths = image_files(images)
    classifier = load_model(file, safe_mode=safe_mode)
    background = background_of(model)
    broken = 0
    for batch in batched(paths):
        readable = []
        for path, pixels in read_images(batch, classifier, background):
            if pixels is None:
                broken += 1
            else:
                readable.append((path, pixels))
        for path, ranked in _ranked(classifier, readable, top):
            click.echo(
                _as_json(path, ranked, classifier.task) if as_json else _as_text(path, ranked)
            )
    if broken:
        raise click.ClickException(f"{broken} of {len(paths)} files could not be read, see above.")


def _ranked(
    classifier: Any, images: Sequence[tuple[Path, Any]], top: int
) -> Iterator[tuple[Path, list[tuple[str, float]]]]:
    """The `top` most probable classes of each image, best first; of a regression its numbers."""
    if not images:
        return
    import numpy as np

    from kerastl.evaluation.scoring import as_columns

    batch = np.stack([np.asarray(pixels) for _, pixels in images])
    outputs = np.asarray(classifier.predict_on_batch(batch), dtype="float32")
    is_regression = classifier.task == REGRESSION
    columns = as_columns(outputs) if classifier.task == CLASSIFICATION else outputs
    names = classifier.class_names or [str(index) for index in range(columns.shape[1])]
    for (path, _), row in zip(images, columns, strict=True):
        best = range(len(row)) if is_regression else np.argsort(-row, kind="stable")[:top]
        yield path, [(names[index], float(row[index])) for index in best]


def _as_json(path: Path, ranked: Sequence[tuple[str, float]], task: str) -> str:
    what, how = ("name", "value") if task == REGRESSION else ("class", "probability")
    predictions = [{what: name, how: value} for name, value in ranked]
    return json.dumps({"file": printable(path), "predictions": predictions}, ensure_ascii=False)


def _as_text(path: Path, ranked: Sequence[tuple[str, float]]) -> str:
    return f"{printable(path)}: " + ", ".join(f"{name} {value:.4f}" for name, value in ranked)
