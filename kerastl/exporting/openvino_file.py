"""The format `openvino`: an OpenVINO IR, `.xml` with the weights in `.bin` beside it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kerastl.exporting.description import INPUT, OUTPUT, as_texts, from_texts

_SECTION = "kerastl"


def write(model: Any, path: Path, description: Mapping[str, Any]) -> None:
    """Write the model, its description as runtime information of the IR."""
    from kerastl.exporting.torch_program import exported_program

    openvino = openvino_without_telemetry()
    size = model.image_size
    network = openvino.convert_model(
        exported_program(model), input=[([-1, size, size, 3], np.float32)]
    )
    network.inputs[0].get_tensor().set_names({INPUT})
    network.outputs[0].get_tensor().set_names({OUTPUT})
    for key, text in as_texts(description).items():
        network.set_rt_info(text, [_SECTION, key])
    # By default the weights would lose half of their bits.
    openvino.save_model(network, path, compress_to_fp16=False)


def opened(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The file as a function from pixels to probabilities."""
    core = openvino_without_telemetry().Core()
    # On processors with bfloat16 the runtime would round by default.
    network = core.compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def predict(images: np.ndarray) -> np.ndarray:
        return np.array(network({INPUT: images})[OUTPUT])

    return predict


def described(path: Path) -> dict[str, Any]:
    """The description in the runtime information of the IR."""
    network = openvino_without_telemetry().Core().read_model(str(path))
    section = network.get_rt_info([_SECTION]).value
    return from_texts({key: str(value.value) for key, value in section.items()})


def openvino_without_telemetry() -> Any:
    """The package, without its telemetry: it reports imports and conversions if nobody says no."""
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
