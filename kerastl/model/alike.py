"""Whether processes that are to train one model together have the same data and weights."""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from kerastl.data.sharding import check_can_cut, check_enough
from kerastl.errors import ProcessesError
from kerastl.internals.keras_adapters import DataAdapter
from kerastl.internals.loaders import is_data_loader
from kerastl.prefix.sources import array_source, single
from kerastl.processes.group import Group

_REDUCTIONS = ("sum_over_batch_size", "mean", None)


def check_can_train(model: Any, group: Group, x: Any, options: Mapping[str, Any]) -> None:
    """Refuse what several processes cannot train.

    Raises:
        ValueError: If it cannot be trained as by one process; says why.
    """
    _check_not_sharded(model)
    if model.jit_compile:
        raise ValueError(
            "`jit_compile` must be off for several processes, whose exchange cannot be compiled. "
            "Received: jit_compile=True. Compile the model without it."
        )
    losses = model.loss if isinstance(model.loss, list | tuple) else [model.loss]
    for loss in losses:
        reduction = getattr(loss, "reduction", None)
        if reduction not in _REDUCTIONS:
            raise ValueError(
                "The loss of several processes must be the mean over the images. Received: "
                f"reduction={reduction!r}. Say reduction='sum_over_batch_size'."
            )
    check_data(x, group, options["batch_size"])
    validation = options["validation_data"]
    if isinstance(validation, tuple | list) and len(validation) > 1:
        validation = validation[0]
    if validation is not None:
        size = options["validation_batch_size"] or options["batch_size"]
        check_data(validation, group, size)


def check_data(x: Any, group: Group, batch_size: int | None) -> None:
    """Refuse data that cannot be cut into a part for each process.

    Raises:
        ValueError: If so; says why.
    """
    if is_array(x):
        check_enough(len(single(x)), batch_size or 32, group)
    else:
        check_can_cut(x, group)


def is_array(x: Any) -> bool:
    """Whether data are arrays of images."""
    return not isinstance(x, DataAdapter) and array_source(single(x)) is not None


def _check_not_sharded(model: Any) -> None:
    """Refuse torch's `fully_shard`, which does nothing to a Keras model, and says nothing."""
    fsdp: Any = sys.modules.get("torch.distributed.fsdp")
    tensors: Any = sys.modules.get("torch.distributed.tensor")
    kinds = tuple(
        getattr(module, name)
        for module, name in ((fsdp, "FSDPModule"), (fsdp, "FullyShardedDataParallel"))
        if hasattr(module, name)
    )
    parts = isinstance(model, kinds) or any(isinstance(each, kinds) for each in model.modules())
    values = (variable.value for variable in model.weights)
    if parts or (tensors is not None and any(isinstance(v, tensors.DTensor) for v in values)):
        raise ValueError(
            "A model must be whole on each process. Received: one that `fully_shard` was called "
            "on, which does not reduce the gradients of a Keras model. Leave it out: `fit` has "
            "the processes train together by itself."
        )


def check_same(
    model: Any, group: Group, method: str, x: Any, y: Any, options: Mapping[str, Any]
) -> None:
    """Refuse processes that do not have the same data, options and blocks.

    Raises:
        ProcessesError: If so; says in what they differ.
    """
    validation = options.get("validation_data")
    about = {
        "methods that are called": method,
        "training data": _digest_of(x, y, options.get("sample_weight")),
        "validation data": _digest_of(
            *(validation if isinstance(validation, tuple | list) else [validation])
        ),
        "options": [
            options.get(name)
            for name in ("batch_size", "epochs", "initial_epoch", "validation_split")
        ]
        + [options.get(name) for name in ("steps_per_epoch", "validation_steps", "steps")],
        "blocks or layers": [[layer.name, layer.trainable] for layer in model.layers],
        "numbers of weights": [list(variable.shape) for variable in model.weights],
        "optimizers": [type(model.optimizer).__name__, repr(model.learning_rates())],
    }
    texts = [json.loads(text) for text in group.texts(json.dumps(about, default=repr))]
    first = texts[0]
    for rank, other in enumerate(texts):
        for name, value in first.items():
            if other.get(name) != value:
                raise ProcessesError(
                    f"All processes must have the same data, options and model. Received: other "
                    f"{name} on process {rank} than on process 0. Give all of them the same, "
                    "with fixed seeds; each takes its part by itself."
                )


_LOOKED_AT = 64


def _digest_of(*data: Any) -> str:
    """What data of `fit` are, as far as a look at some of the images shows."""
    digest = hashlib.blake2b(digest_size=16)
    for each in data:
        values = single(each)
        if is_data_loader(values):
            dataset = values.dataset
            identity = getattr(dataset, "identity", None)
            known = identity() if identity is not None else type(dataset).__name__
            text = f"{known} {len(dataset)} {len(values)} {values.collate_fn!r}"
            digest.update(text.split(" at 0x")[0].encode())
        elif hasattr(values, "shape"):
            rows = np.unique(np.linspace(0, max(len(values) - 1, 0), _LOOKED_AT).astype(int))
            few = len(values.shape) > 2 and len(values) > len(rows)
            part = values[rows] if few else values
            array = np.ascontiguousarray(keras.ops.convert_to_numpy(part))
            digest.update(f"{tuple(values.shape)} {array.dtype}".encode() + array.tobytes())
        else:
            digest.update(type(values).__name__.encode())
    return digest.hexdigest()


def same_weights(model: Any, group: Group) -> None:
    """Give all processes the weights of process 0 at a model's first `fit`; then refuse others.

    Raises:
        ProcessesError: If they have come apart since.
    """
    variables = [*model.weights, *model.optimizer.variables]
    digests = group.texts(_weights_digest(variables))
    others = [rank for rank, digest in enumerate(digests) if digest != digests[0]]
    if others and getattr(model, "has_trained_together", False):
        raise ProcessesError(
            "All processes must go on with the same weights. Received: other weights on process "
            f"{others[0]} than on process 0, since they have trained together. Change weights on "
            "all of them alike."
        )
    if others:
        if len({text.split()[0] for text in digests}) > 1:
            raise ProcessesError(
                "All processes must begin with the same optimizer. Received: one that has trained "
                "on some of them only. Compile the model on all of them alike."
            )
        if group.is_first:
            warnings.warn(
                "The processes began with different weights and train on with those of process 0. "
                "Call keras.utils.set_random_seed before the model is built.",
                stacklevel=5,
            )
        group.hand_on([variable.value.data for variable in variables])
    model.has_trained_together = True


def _weights_digest(variables: Any) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for variable in variables:
        array = np.ascontiguousarray(keras.ops.convert_to_numpy(variable.value))
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(array.tobytes())
    return f"{len(variables)} {digest.hexdigest()}"
