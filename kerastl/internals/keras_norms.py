"""Keras layers with moving statistics that can keep them while they train.

A Keras network hands `training` to all of its layers alike, and a batch norm with
`trainable=False` does not train its scale and shift either (Keras 3.15). So the
class of such a layer is replaced by one derived from it.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

import keras


def layers_with_statistics(network: keras.Model) -> list[Any]:
    """The layers of a built network, nested ones too, that have moving statistics.

    Known by `moving_mean` or `moving_variance`: Keras's batch norm, classes derived
    from it, and others like it that do something else while they train.
    """
    names = ("moving_mean", "moving_variance")
    return [
        layer
        for layer in network._flatten_layers()
        if any(getattr(layer, name, None) is not None for name in names)
        and "training" in inspect.signature(layer.call).parameters
    ]


def set_keeps_statistics(layer: Any, keeps: bool) -> None:
    """Let a layer run in inference mode whatever `training` says, or as it did.

    Weights, names, configuration and saved files stay as they are.

    Args:
        layer: A layer with moving statistics; its class is replaced.
        keeps: Whether it keeps them.
    """
    if not hasattr(layer, "keeps_statistics"):
        if not keeps:
            return
        kind: Any = type(layer)
        layer.__class__ = _keeping(kind)
    layer.keeps_statistics = keeps


@functools.cache
def _keeping(kind: Any) -> Any:
    """A class derived from `kind`, of the same name: a `.keras` file finds variables by it."""

    @functools.wraps(kind.call)
    def call(self: Any, inputs: Any, training: Any = None, **kwargs: Any) -> Any:
        training = training and not self.keeps_statistics
        return kind.call(self, inputs, training=training, **kwargs)

    members = {"call": call, "keeps_statistics": False, "__doc__": kind.__doc__}
    return type(kind.__name__, (kind,), {**members, "__module__": kind.__module__})
