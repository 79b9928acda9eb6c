"""The format `torch`: a `torch.export` program, `.pt2`; ONNX and OpenVINO start from it too."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import torch
from torch import nn

from kerastl.blocks.named_variables import flat_name
from kerastl.blocks.running import run_layers
from kerastl.exporting.description import FILE, INPUT, as_json

# Batch of the traced example: torch takes a size of 1 for a constant.
_EXAMPLES = 2
# What torch notes of each node that names files and folders of this machine.
_NOTES = ("stack_trace", "from_node", "source_fn_stack")


class InferenceModule(nn.Module):
    """A classifier's layers in inference mode, its weights as buffers of this module.

    Every weight is there once, under a name of its own. Keras's modules and
    the torch modules of the blocks hold the same tensors under two names, of
    which torch.export would write both.

    Args:
        model: An `ImageClassifier` on the torch backend.
    """

    _model: Any

    def __init__(self, model: Any) -> None:
        super().__init__()
        # Past torch's tracker: a Keras model is a torch module as well.
        object.__setattr__(self, "_model", model)
        self._weights: dict[str, Any] = {}
        for variable in model.weights:
            name = flat_name(variable.path.replace("/", "."))
            if name in self._weights:
                name = f"{name}-{len(self._weights)}"
            self._weights[name] = variable
            self.register_buffer(name, variable.value.detach().cpu())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        buffers = dict(self.named_buffers())
        pairs = [(variable, buffers[name]) for name, variable in self._weights.items()]
        with keras.StatelessScope(state_mapping=pairs):
            return run_layers(self._model, self._model.layers[1:], images, training=False)


def exported_program(model: Any) -> torch.export.ExportedProgram:
    """The program from pixels to probabilities, for any batch size, on the CPU."""
    size = model.image_size
    with keras.device("cpu"), torch.no_grad(), warnings.catch_warnings():
        # What torch warns of here is of no use to who exports a model.
        warnings.simplefilter("ignore")
        program = torch.export.export(
            InferenceModule(model),
            (torch.zeros(_EXAMPLES, size, size, 3),),
            dynamic_shapes={INPUT: {0: torch.export.Dim("batch", min=1)}},
            strict=False,
        )
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            for note in _NOTES:
                node.meta.pop(note, None)
    return program


def write(model: Any, path: Path, description: Mapping[str, Any]) -> None:
    """Write the program, its description as an extra file inside."""
    program = exported_program(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(program, path, extra_files={FILE: as_json(description)})


def opened(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The file as a function from pixels to probabilities."""
    program = torch.export.load(path).module()

    def predict(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return np.asarray(program(torch.from_numpy(images)).numpy())

    return predict


def described(path: Path) -> dict[str, Any]:
    """The description inside the file."""
    extra_files = {FILE: ""}
    torch.export.load(path, extra_files=extra_files)
    found: dict[str, Any] = json.loads(extra_files[FILE])
    return found
