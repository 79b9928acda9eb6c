"""`export_model`: a classifier as a file for another runtime, checked before it is kept."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from kerastl.exporting import checking, formats
from kerastl.exporting.description import description_of
from kerastl.exporting.formats import ExportFormat
from kerastl.exporting.precision import in_float32
from kerastl.internals.whole_files import (
    publish,
    remove_unfinished,
    telling_a_full_disk,
    unfinished_folder,
)
from kerastl.model.classifier import ImageClassifier

# An export that has taken longer than this, in seconds, on another machine is taken for dead.
_LONGEST_EXPORT = 3600


@dataclass(frozen=True)
class ExportReport:
    """An exported file and how far it is from the model.

    Attributes:
        path: The file, or the folder of a SavedModel.
        format: Name of the format.
        max_difference: Largest absolute difference of a probability between the
            file in its own runtime and the model.
        num_images: Images that were compared.
        size: Bytes of all that was written.
        computed_in: What the model computes in; the file computes in float32.
    """

    path: Path
    format: str
    max_difference: float
    num_images: int
    size: int
    computed_in: str


def export_model(model: Any, path: str | Path, *, format: str, images: Any = None) -> ExportReport:
    """Write a classifier for another runtime, and compare the file with the model there.

    The file takes what the model takes, pixels 0-255 as float32,
    `(batch, height, width, 3)` for any batch size, and gives its
    probabilities; preprocessing is inside. Class names, image size and resize
    mode are in the file's metadata. It computes in float32 whatever the model's
    precision, and is then compared with the model in float32. What `path` held
    is replaced only after the comparison.

    Args:
        model: An `ImageClassifier`.
        path: The file, with the format's ending; for "saved_model" a folder.
        format: "onnx", "torch", "saved_model", "litert" or "openvino".
        images: Pixels 0-255 to compare on, `(images, height, width, 3)`; the
            first 32 are taken. None: squares out of two photographs.

    Returns:
        Where the file is, and the largest difference.

    Raises:
        TypeError: If the model is no `ImageClassifier`.
        UnknownNameError: If there is no such format.
        ValueError: If the backend cannot write it, its runtime is not
            installed, or the path does not suit.
        RuntimeError: If the model cannot be written in that format, or the file
            is more than 1e-4 from the model; nothing is left behind then.
        OSError: If the file cannot be written.

    Example:

        kerastl.export_model(model, "flowers.onnx", format="onnx")
    """
    if not isinstance(model, ImageClassifier):
        raise TypeError(
            f"`model` must be an ImageClassifier. Received: {type(model).__name__}. "
            "Export other Keras models with model.export."
        )
    kind = formats.export_format(format)
    formats.check_backend(kind, keras.backend.backend())
    formats.check_installed(kind)
    target = Path(path).expanduser()
    formats.check_path(kind, target)
    pixels = checking.check_images(
        checking.sample_images(model.image_size) if images is None else images, model
    )
    precise, computed_in = in_float32(model)
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_unfinished(target.parent, of_others_after=_LONGEST_EXPORT)
    with telling_a_full_disk(target), unfinished_folder(target.parent) as folder:
        unfinished = folder / target.name
        difference = _write_and_check(precise, kind, unfinished, pixels)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        _publish(kind, unfinished, target)
    return ExportReport(target, kind.name, difference, len(pixels), size, computed_in)


def _write_and_check(model: Any, kind: ExportFormat, path: Path, pixels: Any) -> float:
    """Write an unfinished file, open it, and give its largest difference from the model."""
    writer = importlib.import_module(kind.module)
    expected = checking.model_predictions(model, pixels)
    with _refusing(f"The model cannot be written as {kind.name}", kind):
        writer.write(model, path, description_of(model))
    with _refusing(f"{kind.opened_with} cannot run the file that was written", kind):
        difference = checking.largest_difference(writer.opened(path), pixels, expected)
    if difference > checking.TOLERANCE:
        raise RuntimeError(
            f"The {kind.name} file must give the model's probabilities to {checking.TOLERANCE:g}. "
            f"Received: a difference of {difference:.1e} over {len(pixels)} images, so it was not "
            f"kept. {_others(kind)}"
        )
    return difference


@contextlib.contextmanager
def _refusing(what: str, kind: ExportFormat) -> Iterator[None]:
    """Make what a converter or a runtime raises one sentence; errors of files stay as they are."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise RuntimeError(f"{what}: {reason.rstrip('.')}. {_others(kind)}") from error


def _others(kind: ExportFormat) -> str:
    return (
        f"Take another format: {', '.join(name for name in formats.FORMATS if name != kind.name)}."
    )


def _publish(kind: ExportFormat, unfinished: Path, target: Path) -> None:
    """Put a finished file in its place: whole, or not at all."""
    if kind.is_folder:
        publish(unfinished, target)
        return
    if kind.companions:
        # Rather no file for a moment than a new one beside the weights of an old one.
        target.unlink(missing_ok=True)
    for ending in (*kind.companions, kind.ending):
        publish(unfinished.with_suffix(ending), target.with_suffix(ending))
