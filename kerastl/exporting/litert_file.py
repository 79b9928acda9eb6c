"""The format `litert`: a flat buffer for LiteRT, formerly TensorFlow Lite, `.tflite`."""

from __future__ import annotations

import json
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kerastl.exporting import saved_model
from kerastl.exporting.description import FILE, INPUT, OUTPUT, as_json

LABELS = "labels.txt"


def write(model: Any, path: Path, description: Mapping[str, Any]) -> None:
    """Write the model, with its description and `labels.txt` as files inside.

    Files lie where TensorFlow Lite's metadata keep them: in a zip archive
    behind the flat buffer, so that `unzip` and Python's `zipfile` read them.
    Only operations that every LiteRT runtime has are used.
    """
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        between = Path(folder) / "model"
        saved_model.write(model, between, description)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(between))
        path.write_bytes(converter.convert())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(_entry(FILE), as_json(description))
        if "class_names" in description:
            archive.writestr(_entry(LABELS), "\n".join(description["class_names"]) + "\n")


def opened(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The file as a function from pixels to probabilities."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    run = interpreter.get_signature_runner("serving_default")

    def predict(images: np.ndarray) -> np.ndarray:
        return np.array(run(**{INPUT: images})[OUTPUT])

    return predict


def described(path: Path) -> dict[str, Any]:
    """The description in the archive behind the flat buffer."""
    with zipfile.ZipFile(path) as archive:
        found: dict[str, Any] = json.loads(archive.read(FILE))
    return found


def _entry(name: str) -> zipfile.ZipInfo:
    """An entry without the time of writing: the same model gives the same file."""
    return zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
