"""A classifier that computes in float32, whatever precision it was trained in."""

from __future__ import annotations

from typing import Any

import keras

from kerastl.internals.keras_connections import all_layers
from kerastl.model.description import rebuilt


def in_float32(model: Any) -> tuple[Any, str]:
    """The model if it computes in float32, else a copy of it that does, with the same weights.

    Other runtimes round bfloat16 and float16 in other places than the backend
    does: only in float32 can a file be held against the model.

    Args:
        model: An `ImageClassifier`.

    Returns:
        The model to export, and the name of the dtype policy of the given one.

    Raises:
        ValueError: If a copy is needed, and the backbone was built from an
            `nn.Module`, which cannot be built again.
    """
    policies = {layer.dtype_policy.name for layer in all_layers(model)} - {"float32"}
    if not policies:
        return model, "float32"
    (*_, policy) = sorted(policies)
    if not model.can_reload:
        raise ValueError(
            "`model` must compute in float32, as its backbone was built from an nn.Module. "
            f"Received: {policy}. Save it and open it again: "
            "kerastl.load_model(path, backbone=module)."
        )
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        copy = rebuilt(model)
    finally:
        keras.config.set_dtype_policy(before)
    return copy, policy
