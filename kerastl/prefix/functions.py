"""The frozen prefix as a function of images, on whatever backend Keras runs.

Each function takes pixels `(batch, height, width, 3)` and returns the features
at the boundary, `(batch, ...)`, one per tensor: torch tensors on the torch
backend, NumPy arrays on the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from kerastl.blocks.running import as_list, layers_before, run_layers
from kerastl.internals.tensor_versions import norms, version_of
from kerastl.prefix.boundary import Boundary

PrefixFunction = Callable[[Any], list[Any]]


def prefix_function(model: Any, boundary: Boundary) -> PrefixFunction:
    """The layers of a classifier up to a boundary, with the weights that they have now.

    On JAX the function has its own copy of the weights: a training step gives
    their memory away. On TensorFlow it follows the weights. On torch a copy
    with the batch norms folded in follows them too.
    """
    backend = keras.backend.backend()
    if backend == "torch":
        from kerastl.prefix.torch_function import TorchPrefix

        return TorchPrefix(model, boundary)
    layers = layers_before(model, boundary.layer)
    return _on_jax(model, layers) if backend == "jax" else _on_tensorflow(model, layers)


def variables_before(model: Any, boundary: Boundary) -> list[Any]:
    """The weights and moving statistics of the blocks before a boundary."""
    return [weight for name in boundary.blocks for weight in model.get_layer(name).weights]


def weights_digest(variables: Sequence[Any]) -> str:
    """A digest of the values of variables."""
    digest = hashlib.blake2b(digest_size=16)
    for variable in variables:
        values = np.ascontiguousarray(keras.ops.convert_to_numpy(variable.value))
        digest.update(values.view(np.uint8).data if values.ndim else values.tobytes())
    return digest.hexdigest()


def weights_stamp(variables: Sequence[Any]) -> Any:
    """Something that is another after variables have changed; cheap on torch."""
    if keras.backend.backend() != "torch":
        return weights_digest(variables)
    # Torch counts changes in place, but for those by `tensor.data`.
    return [version_of(variable.value) for variable in variables]


def weights_sums(variables: Sequence[Any]) -> list[float]:
    """Norms of variables on torch: most changes past its count, such as by `tensor.data`, show."""
    if keras.backend.backend() != "torch":
        return []  # the stamp is of the values there
    return norms([variable.value for variable in variables])


def _on_jax(model: Any, layers: Sequence[Any]) -> PrefixFunction:
    import jax

    def run(states: Any, images: Any) -> list[Any]:
        values = images
        for layer, (trainable, others) in zip(layers, states, strict=True):
            is_block = layer.name in model.block_names
            options = {"training": False} if is_block else {}
            values, _ = layer.stateless_call(trainable, others, values, **options)
        return as_list(values)

    compiled = jax.jit(run)
    states = [
        tuple(
            [jax.numpy.copy(variable.value) for variable in variables]
            for variables in (layer.trainable_variables, layer.non_trainable_variables)
        )
        for layer in layers
    ]
    return lambda images: [np.asarray(value) for value in compiled(states, np.asarray(images))]


def _on_tensorflow(model: Any, layers: Sequence[Any]) -> PrefixFunction:
    import tensorflow as tf

    run = tf.function(lambda images: as_list(run_layers(model, layers, images, training=False)))
    compiled: dict[Any, Any] = {}

    def call(images: Any) -> list[Any]:
        tensor = tf.convert_to_tensor(images)
        # One graph for batches of every size.
        kind = tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype)
        if kind not in compiled:
            compiled[kind] = run.get_concrete_function(kind)
        return [value.numpy() for value in compiled[kind](tensor)]

    return call
