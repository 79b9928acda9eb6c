"""From what `compile(learning_rate=...)` was given to a rate for each block."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from kerastl.blocks.block import unknown_block
from kerastl.optimizers import old_files  # noqa: F401, registers the class that old files name
from kerastl.optimizers.block_optimizer import RateByBlock, follow_blocks, rates_by_block, wrapped
from kerastl.optimizers.schedules import LayerwiseDecay


@dataclass(frozen=True)
class BlockVariables:
    """The variables of each block, out of sight of Keras's attribute tracking."""

    by_block: Mapping[str, tuple[keras.Variable, ...]]

    def updated(self, layers: Mapping[str, Any]) -> BlockVariables:
        """The same after layers got or lost variables, as `enable_lora` and `quantize` have it.

        Args:
            layers: Block name -> its layer.
        """
        by_block = {}
        for name, known in self.by_block.items():
            present = {id(variable) for variable in layers[name].variables}
            before = {id(variable) for variable in known}
            kept = [variable for variable in known if id(variable) in present]
            new = [v for v in layers[name].variables if v.trainable and id(v) not in before]
            by_block[name] = (*kept, *new)
        return BlockVariables(by_block)


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


def optimizer_by_block(model: Any, optimizer: Any, learning_rate: Any) -> Any:
    """The optimizer to compile a classifier with, bound to its blocks."""
    optimizer = keras.optimizers.get(optimizer)
    if optimizer is None:
        return None
    inner = wrapped(optimizer)
    is_own = inner is wrapped(getattr(model, "optimizer", None))
    is_from_file = isinstance(inner, RateByBlock) and not inner.is_bound
    made = optimizer if is_own or is_from_file else rates_by_block(optimizer)
    follow_blocks(made)
    inner = wrapped(made)
    inner.bind(model.variables_by_block, as_now=_blocks_of(weakref.ref(model)))
    if learning_rate is not None:
        inner.set_learning_rates(by_block(learning_rate, model.block_names, model.trainable_blocks))
    elif not inner.blocks_with_rates:
        inner.follow_own_rate()
    return made


def _blocks_of(model: weakref.ref[Any]) -> Callable[[], Mapping[str, Any]]:
    """What finds the blocks anew: LoRA and quantization give a layer other variables."""

    def blocks() -> Mapping[str, Any]:
        alive = model()
        return {} if alive is None else alive.variables_by_block

    return blocks


def block_optimizer(model: Any) -> RateByBlock:
    """The optimizer of a compiled model; of a loss-scale optimizer, what it wraps.

    Raises:
        ValueError: If the model is not compiled.
    """
    inner = wrapped(getattr(model, "optimizer", None))
    if not isinstance(inner, RateByBlock):
        raise ValueError("The model must be compiled first. Call `model.compile(...)`.")
    return inner


def set_rates(model: Any, learning_rate: Any, blocks: Sequence[str]) -> None:
    """Set the rates of some blocks of a compiled model; schedules among them start now."""
    block_optimizer(model).set_learning_rates(by_block(learning_rate, blocks, blocks))


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


def ready_to_train(model: Any) -> bool:
    """Let the optimizer make what the blocks that train now need.

    Returns:
        Whether they are others than at the last call, or their rates are, so
        that a compiled step has to be compiled anew.
    """
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        return False
    by_block = block_optimizer(model)
    by_block.bind(model.variables_by_block)
    variables = model.trainable_variables
    if not optimizer.built:
        optimizer.build(variables)
    return by_block.is_compiled_for_others(variables)


def rates_config(model: Any) -> dict[str, Any]:
    """What a file says of the rates of a compiled model."""
    return block_optimizer(model).rates_config()


def restore_rates(model: Any, config: Mapping[str, Any]) -> None:
    """Give a compiled model the rates that a file says."""
    block_optimizer(model).restore_rates(config)
