"""Run a part of a classifier: the layers before a layer, or those after it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import keras


def layers_before(model: Any, layer: str) -> list[Any]:
    """The layers from the pixels to `layer`, itself included."""
    names = [each.name for each in model.layers]
    return list(model.layers[1 : names.index(layer) + 1])


def layers_after(model: Any, layer: str) -> list[Any]:
    """The layers behind `layer`, the head last."""
    names = [each.name for each in model.layers]
    return list(model.layers[names.index(layer) + 1 :])


def run_layers(model: Any, layers: Sequence[Any], values: Any, *, training: bool | None) -> Any:
    """Layers one after the other; only blocks have a training mode."""
    for layer in layers:
        is_block = layer.name in model.block_names
        values = layer(values, training=training) if is_block else layer(values)
    return values


def as_list(values: Any) -> list[Any]:
    """What passes a boundary as a list: most networks have one tensor there."""
    return list(values) if isinstance(values, list | tuple) else [values]


def no_gradients() -> contextlib.AbstractContextManager[Any]:
    """Within the block, torch keeps nothing for gradients; the others keep none anyway."""
    if keras.backend.backend() != "torch":
        return contextlib.nullcontext()
    import torch

    return torch.no_grad()
