"""Switch dropout and stochastic depth off, for a comparison."""

from __future__ import annotations

from typing import Any

import keras

from kerastl.blocks.keras_block import KerasBlock
from kerastl.blocks.torch_block import TorchBlock
from kerastl.internals.keras_connections import all_layers


def switch_off(model: Any) -> None:
    """Take dropout and stochastic depth out of a classifier, for a comparison.

    Backends draw different numbers from the same seed. What is left is the
    same function on each.

    Args:
        model: The `ImageClassifier`; it is changed, and is for comparing only.
    """
    for block in model.blocks:
        (layer,) = block.layers
        layer.stochastic = False
        if isinstance(layer, TorchBlock):
            _switch_off_torch(layer.module)
        elif isinstance(layer, KerasBlock):
            for inner in all_layers(layer.network):
                if isinstance(inner, keras.layers.Dropout):
                    inner.rate = 0.0
                elif hasattr(inner, "drop_path_rate"):  # ConvNeXt's stochastic depth
                    inner.drop_path_rate = 0.0
    model.train_function = None


def _switch_off_torch(network: Any) -> None:
    """Rates to zero; torch's and torchvision's modules keep them under these names."""
    for module in network.modules():
        for name in ("p", "dropout", "attention_dropout", "drop_rate"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
