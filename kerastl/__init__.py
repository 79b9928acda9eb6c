"""Fine-tune pretrained image backbones with Keras 3, block by block.

Importing this package loads neither torch nor Keras. It chooses the torch
backend where the user has chosen none and Keras is not imported yet.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

from kerastl.internals.old_paths import keep_old_paths
from kerastl.internals.triton import keep_away_from_tensorflow
from kerastl.internals.versions import __version__ as __version__

if TYPE_CHECKING:
    from kerastl.backbones.registry import list_backbones
    from kerastl.blocks.block import Block
    from kerastl.checking.check import check_data
    from kerastl.data import load_data
    from kerastl.evaluation.calibration import calibrate
    from kerastl.exporting.export import export_model
    from kerastl.model.batch_sizes import largest_batch_size
    from kerastl.model.classifier import ImageClassifier
    from kerastl.model.cross_validation import cross_validate
    from kerastl.model.files import load_model
    from kerastl.optimizers import schedules
    from kerastl.optimizers.schedules import layerwise_decay
    from kerastl.runs.picking.pick import pick

__all__ = [
    "Block",
    "ImageClassifier",
    "calibrate",
    "check_data",
    "cross_validate",
    "export_model",
    "largest_batch_size",
    "layerwise_decay",
    "list_backbones",
    "load_data",
    "load_model",
    "pick",
    "schedules",
]

_HOMES = {
    "Block": "kerastl.blocks.block",
    "ImageClassifier": "kerastl.model.classifier",
    "calibrate": "kerastl.evaluation.calibration",
    "check_data": "kerastl.checking.check",
    "cross_validate": "kerastl.model.cross_validation",
    "export_model": "kerastl.exporting.export",
    "largest_batch_size": "kerastl.model.batch_sizes",
    "layerwise_decay": "kerastl.optimizers.schedules",
    "list_backbones": "kerastl.backbones.registry",
    "load_data": "kerastl.data",
    "load_model": "kerastl.model.files",
    "pick": "kerastl.runs.picking.pick",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name == "schedules":
        return importlib.import_module("kerastl.optimizers.schedules")
    raise AttributeError(f"module 'kerastl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


keep_old_paths()

# keras.json is no sign of a choice: Keras writes it by itself on first import.
if "keras" not in sys.modules:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keep_away_from_tensorflow()
else:
    keep_away_from_tensorflow()
    # Registers the classes, so that keras.saving.load_model opens our files.
    importlib.import_module("kerastl.model.classifier")
