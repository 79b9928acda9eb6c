"""The format `saved_model`: a TensorFlow SavedModel; LiteRT starts from it too."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastl.blocks.running import run_layers
from kerastl.exporting.description import FILE, INPUT, OUTPUT, as_json

# Where a SavedModel keeps files of its users that its graph does not load.
_EXTRA = "assets.extra"
_SIGNATURE = "serving_default"


def write(model: Any, path: Path, description: Mapping[str, Any]) -> None:
    """Write the model as a folder, its description in `assets.extra`.

    The folder has the signature "serving_default" and the function `serve`.
    """
    import tensorflow as tf

    # Copies under names of their own: those of torch may begin with "_", which TensorFlow
    # cannot load, and the model itself would bring its optimizer's state along.
    copies = [
        tf.Variable(variable.value, trainable=False, name=f"weights/{variable.path}")
        for variable in model.weights
    ]
    size = model.image_size
    pixels = tf.TensorSpec((None, size, size, 3), tf.float32, name=INPUT)

    @tf.function(input_signature=[pixels])  # type: ignore[untyped-decorator, unused-ignore]
    def serve(images: Any) -> Any:
        with keras.StatelessScope(state_mapping=zip(model.weights, copies, strict=True)):
            return run_layers(model, model.layers[1:], images, training=False)

    @tf.function(input_signature=[pixels])  # type: ignore[untyped-decorator, unused-ignore]
    def named(images: Any) -> Any:
        return {OUTPUT: serve(images)}

    module = tf.Module()
    module.weights = copies
    module.serve = serve
    tf.saved_model.save(module, str(path), signatures={_SIGNATURE: named})
    (path / _EXTRA).mkdir(exist_ok=True)
    (path / _EXTRA / FILE).write_text(as_json(description), encoding="utf-8")


def opened(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The folder as a function from pixels to probabilities."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))

    def predict(images: np.ndarray) -> np.ndarray:
        # Through `loaded` each time: the signature alone does not keep the weights alive.
        outputs = loaded.signatures[_SIGNATURE](**{INPUT: tf.constant(images)})
        return np.asarray(outputs[OUTPUT])

    return predict


def described(path: Path) -> dict[str, Any]:
    """The description in `assets.extra`."""
    found: dict[str, Any] = json.loads((path / _EXTRA / FILE).read_text(encoding="utf-8"))
    return found
