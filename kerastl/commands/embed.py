"""`kerastl embed`: the pooled features of images, in a file."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from kerastl.commands.failures import one_clear_line
from kerastl.commands.model_data import (
    BATCH_SIZE,
    background_of,
    batched,
    data_config,
    read_images,
)
from kerastl.commands.options import (
    backend_of,
    backend_option,
    safe_mode_option,
    skip_broken_option,
)
from kerastl.evaluation.run_record import model_file
from kerastl.exporting.embeddings import WRITERS, Embeddings, check_path, save
from kerastl.internals.printable import printable
from kerastl.runs import backends


@click.command(short_help="Write the pooled features of images to a file.")
@one_clear_line
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, metavar="[IMAGE]...")
@click.option("--data", help="Labelled images instead, as a data spec: folder:PATH, csv:FILE, ...")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help=f"File to write, ending in {' or '.join(WRITERS)}.",
)
@skip_broken_option
@backend_option
@safe_mode_option
def embed(
    model: Path,
    images: tuple[str, ...],
    data: str | None,
    output: Path,
    skip_broken: bool,
    backend: str | None,
    safe_mode: bool,
) -> None:
    """Write what enters the head of MODEL for each IMAGE: files, folders or globs.

    MODEL is a run folder or a .keras file. The file holds one row of features
    and the name of each image; with --data its label and the names of the
    classes too, in the order train, validation, test of the data's own parts.
    A file that is no image is named on stderr, the others go on, and the exit
    code is 1.
    """
    if bool(images) == (data is not None):
        raise click.UsageError("Say which images: IMAGE..., or --data SPEC, and not both.")
    file = model_file(model)
    check_path(output)
    backends.choose(backend_of(model, backend))
    from kerastl.model.files import load_model

    classifier = load_model(file, safe_mode=safe_mode)
    if data is None:
        found, broken = _of_files(model, images, classifier)
    else:
        found, broken = _of_data(model, data, classifier, skip_broken=skip_broken), 0
    save(found, output)
    count, width = found.features.shape
    click.echo(f"Saved {output}: {width:,} features of {count:,} images")
    if broken:
        raise click.ClickException(f"{broken} of {count + broken} files could not be read.")


def _of_files(model: Path, patterns: tuple[str, ...], classifier: Any) -> tuple[Embeddings, int]:
    """The features of image files, and how many files could not be read."""
    import numpy as np

    from kerastl.data import image_files

    paths = image_files(patterns)
    names: list[str] = []
    parts = []
    for batch in _progress(batched(paths), -(-len(paths) // BATCH_SIZE)):
        pairs = read_images(batch, classifier, background_of(model))
        readable = [(path, pixels) for path, pixels in pairs if pixels is not None]
        if readable:
            names += [printable(path) for path, _ in readable]
            pixels = np.stack([np.asarray(each) for _, each in readable])
            parts.append(_features(classifier, pixels))
    if not parts:
        raise click.ClickException("None of the files could be read, see above.")
    return Embeddings(np.concatenate(parts), tuple(names)), len(paths) - len(names)


def _of_data(model: Path, spec: str, classifier: Any, *, skip_broken: bool) -> Embeddings:
    """The features of labelled images, part after part."""
    import numpy as np

    from kerastl.runs import training

    config = data_config(model, spec)
    if config is None:
        raise click.UsageError("Say which images: --data SPEC.")
    config = dataclasses.replace(
        config,
        batch_size=BATCH_SIZE,
        validation_split=0.0,
        test_split=0.0,
        workers=0,
        skip_broken=skip_broken or config.skip_broken,
    )
    data = training.load_images(config, classifier)
    names: list[str] = []
    parts, labels = [], []
    for part in (name for name, size in data.sizes.items() if size):
        batches = data.in_order(part)
        for images, numbers in _progress(batches, len(batches)):
            parts.append(_features(classifier, np.asarray(images)))
            labels.append(np.asarray(numbers))
        # Afterwards: an image may turn out to be broken only when it is read.
        names += data.names(part)
    return Embeddings(
        np.concatenate(parts), tuple(names), np.concatenate(labels), tuple(data.class_names)
    )


def _features(classifier: Any, pixels: Any) -> Any:
    import keras

    features = keras.ops.cast(classifier.features(pixels), "float32")
    return keras.ops.convert_to_numpy(features)


def _progress(batches: Iterable[Any], total: int) -> Iterable[Any]:
    from tqdm import tqdm

    bar: Iterable[Any] = tqdm(batches, total=total, desc="Features", unit="batch", file=sys.stderr)
    return bar
