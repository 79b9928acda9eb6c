"""The format `onnx`: written by torch's own exporter, opened by ONNX Runtime."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kerastl.exporting.description import INPUT, OUTPUT, as_texts, from_texts

# A protocol buffer, which an ONNX file is, ends here.
_LARGEST = 2**31


def write(model: Any, path: Path, description: Mapping[str, Any]) -> None:
    """Write the model, its description as the file's metadata.

    Raises:
        RuntimeError: If the weights are more than a file can hold.
    """
    import torch

    from kerastl.exporting.torch_program import exported_program

    size = 4 * sum(math.prod(variable.shape) for variable in model.weights)
    if size >= _LARGEST:
        raise RuntimeError(f"a file holds less than 2.1 GB, and the model has {size / 1e9:.1f} GB")
    program = exported_program(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        written = torch.onnx.export(
            program,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: "batch"},),
            dynamo=True,
            verbose=False,
        )
    if written is None:
        raise RuntimeError("torch.onnx.export gave no program")
    for part in (written.model.graph, *written.model.functions.values()):
        for node in part:
            # Has the names of files on this machine in it.
            node.metadata_props.clear()
    written.model.metadata_props.update(as_texts(description))
    written.save(path, external_data=False)


def opened(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The file as a function from pixels to probabilities."""
    session = _session(path)

    def predict(images: np.ndarray) -> np.ndarray:
        return np.asarray(session.run([OUTPUT], {INPUT: images})[0])

    return predict


def described(path: Path) -> dict[str, Any]:
    """The description in the file's metadata."""
    return from_texts(_session(path).get_modelmeta().custom_metadata_map)


def _session(path: Path) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
