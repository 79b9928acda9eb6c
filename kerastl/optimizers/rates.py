"""Turn `compile(learning_rate=...)` into a learning rate for each block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from kerastl.blocks.block import unknown_block
from kerastl.optimizers.block_optimizer import BlockOptimizer
from kerastl.optimizers.schedules import LayerwiseDecay


@dataclass(frozen=True)
class BlockVariables:
    """The variables of each block, out of sight of Keras's attribute tracking."""

    by_block: Mapping[str, tuple[keras.Variable, ...]]


def by_block(learning_rate: Any, names: Sequence[str], trainable: Sequence[str]) -> dict[str, Any]:
    """A rate per block.

    Args:
        learning_rate: A float, a schedule, a `LayerwiseDecay`, or a dict of
            block name to float or schedule.
        names: Every block, in forward order.
        trainable: The blocks that train.

    Returns:
        For a dict, its own entries. Else an entry for every block, frozen
        ones too, so that a later unfreeze finds its rate.

    Raises:
        UnknownNameError: If an entry is for a block that does not exist.
        ValueError: If an entry is for a frozen block, or one is missing.
    """
    if isinstance(learning_rate, LayerwiseDecay):
        return learning_rate.rates(list(names))
    if not isinstance(learning_rate, Mapping):
        return dict.fromkeys(names, learning_rate)
    listing = ", ".join(f"{n} ({'trains' if n in trainable else 'frozen'})" for n in names)
    for name in learning_rate:
        if name not in names:
            raise unknown_block(name, names)
        if name not in trainable:
            raise ValueError(
                f"`learning_rate` must not name a frozen block. Received: {name!r}. "
                f"Leave it out, or unfreeze it first. Blocks: {listing}."
            )
    missing = [name for name in trainable if name not in learning_rate]
    if missing:
        raise ValueError(
            "`learning_rate` must have an entry for every block that trains. Missing: "
            f"{', '.join(missing)}. Blocks: {listing}."
        )
    return dict(learning_rate)


def make_block_optimizer(model: Any, optimizer: Any, learning_rate: Any) -> Any:
    """The optimizer to compile a classifier with, bound to its blocks."""
    optimizer = keras.optimizers.get(optimizer)
    inner = _unwrapped(optimizer)
    if isinstance(inner, BlockOptimizer):
        if learning_rate is not None:
            rates = by_block(learning_rate, model.block_names, model.trainable_blocks)
            inner.set_learning_rates(rates)
        inner.bind(model.variables_by_block)
        return optimizer
    if learning_rate is None:
        learning_rate = _own_rate(inner)
    rates = by_block(learning_rate, model.block_names, model.trainable_blocks)
    made = BlockOptimizer(inner, rates)
    made.bind(model.variables_by_block)
    if optimizer is inner:
        return made
    return type(optimizer).from_config(
        {**optimizer.get_config(), "inner_optimizer": keras.saving.serialize_keras_object(made)}
    )


def block_optimizer(model: Any) -> BlockOptimizer:
    """The block optimizer of a compiled model.

    Raises:
        ValueError: If the model is not compiled.
    """
    inner = _unwrapped(getattr(model, "optimizer", None))
    if not isinstance(inner, BlockOptimizer):
        raise ValueError("The model must be compiled first. Call `model.compile(...)`.")
    return inner


def current_rates(model: Any) -> dict[str, float]:
    """The rate of every block of a compiled model for the next step; 0 where it is frozen."""
    return _zero_where_frozen(model, block_optimizer(model).current_rates())


def last_rates(model: Any) -> dict[str, float]:
    """The rate of every block of a compiled model in the last step; 0 where it is frozen."""
    return _zero_where_frozen(model, block_optimizer(model).last_rates())


def _zero_where_frozen(model: Any, rates: Mapping[str, float]) -> dict[str, float]:
    trainable = model.trainable_blocks
    return {name: rates.get(name, 0.0) if name in trainable else 0.0 for name in model.block_names}


def check_rates(model: Any) -> None:
    """Refuse to train a block that has no rate.

    Raises:
        ValueError: Naming the blocks.
    """
    optimizer = block_optimizer(model)
    missing = [name for name in model.trainable_blocks if name not in optimizer.blocks_with_rates]
    if missing:
        raise ValueError(
            f"Blocks {', '.join(missing)} train but have no learning rate. Say "
            f"model.unfreeze({missing[0]!r}, learning_rate=...), or compile again; "
            "`optimizer=model.optimizer` keeps the moments."
        )


def ready_for_fit(model: Any) -> None:
    """Bring a compiled model's optimizer to the blocks that train now.

    Keras's JAX trainer hands over gradients without saying whose they are.
    """
    check_rates(model)
    if keras.backend.backend() != "jax" or not model.optimizer.built:
        return
    variables = list(model.trainable_variables)
    block_optimizer(model).build(variables)
    model.optimizer._trainable_variables = variables


def _unwrapped(optimizer: Any) -> Any:
    """What a loss-scale optimizer wraps, or the optimizer itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def _own_rate(optimizer: keras.optimizers.Optimizer) -> Any:
    rate = optimizer.get_config()["learning_rate"]
    return keras.saving.deserialize_keras_object(rate) if isinstance(rate, dict) else rate
