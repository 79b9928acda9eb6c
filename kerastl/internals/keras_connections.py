"""The connections of a functional Keras model, and all of its layers.

Keras 3.15 gives the layers of nested models only by `_flatten_layers`, and
which tensors an operation took in only by `_keras_history` and
`_inbound_nodes`.
"""

from __future__ import annotations

from typing import Any


def all_layers(model: Any) -> list[Any]:
    """Every layer of a model, those of nested models and layers too, itself among them."""
    return list(model._flatten_layers())


def operation_name(tensor: Any) -> str:
    """Name of the layer or operation that gives a symbolic tensor."""
    return str(tensor._keras_history.operation.name)


def operation_inputs(tensor: Any) -> list[Any]:
    """The symbolic tensors that a symbolic tensor's operation took in."""
    history = tensor._keras_history
    return list(history.operation._inbound_nodes[history.node_index].input_tensors)
