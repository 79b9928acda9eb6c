"""Fine-tune pretrained image backbones with Keras 3, block by block.

Importing this package loads neither torch nor Keras. It chooses the torch
backend where the user has chosen none and Keras is not imported yet.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

from kerastl._triton import keep_away_from_tensorflow

if TYPE_CHECKING:
    from kerastl import schedules
    from kerastl.backbones.registry import list_backbones
    from kerastl.blocks import Block
    from kerastl.calibration import calibrate
    from kerastl.classifier import ImageClassifier
    from kerastl.data import load_data
    from kerastl.exporting.export import export_model
    from kerastl.saving import load_model
    from kerastl.schedules import layerwise_decay

__version__ = "0.1.0"

__all__ = [
    "Block",
    "ImageClassifier",
    "calibrate",
    "export_model",
    "layerwise_decay",
    "list_backbones",
    "load_data",
    "load_model",
    "schedules",
]

_HOMES = {
    "Block": "kerastl.blocks",
    "ImageClassifier": "kerastl.classifier",
    "calibrate": "kerastl.calibration",
    "export_model": "kerastl.exporting.export",
    "layerwise_decay": "kerastl.schedules",
    "list_backbones": "kerastl.backbones.registry",
    "load_data": "kerastl.data",
    "load_model": "kerastl.saving",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name == "schedules":
        return importlib.import_module("kerastl.schedules")
    raise AttributeError(f"module 'kerastl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


# keras.json is no sign of a choice: Keras writes it by itself on first import.
if "keras" not in sys.modules:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keep_away_from_tensorflow()
else:
    keep_away_from_tensorflow()
    # Registers the classes, so that keras.saving.load_model opens our files.
    importlib.import_module("kerastl.classifier")
