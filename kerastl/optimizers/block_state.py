"""Which blocks train, and what an optimizer has made for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from kerastl.optimizers.learning_rates import LearningRates


class BlockStates:
    """Which blocks there are, which train, and what was made for each.

    Attributes:
        blocks: Every variable of each block that can train.
        name_of: Name of the block of each variable, by `id`.
        of_block: The optimizer's variables that were made for each block.
        missed: Updates of the optimizer that a block took no part in.
        paused: Of a block that does not train now: updates when it stopped.
        trained: The blocks that train, as `begin` found them; None before.
        groups: For each block that trains, one that trains at the same rate
            and step; None where that has to be found out anew.
        compiled_for: What a compiled step trains, by `id`; empty where it has old
            rates in it.
        as_now: Finds the blocks anew, where a variable is of none.
        in_use: Rate and missed updates of the block that is being updated.
        is_growing: True while state is being made.
    """

    def __init__(self) -> None:
        self.blocks: dict[str, tuple[keras.Variable, ...]] = {}
        self.name_of: dict[int, str] = {}
        self.of_block: dict[str, list[keras.Variable]] = {}
        self.missed: dict[str, int] = {}
        self.paused: dict[str, int] = {}
        self.trained: tuple[str, ...] | None = None
        self.groups: dict[str, str] | None = None
        self.compiled_for: tuple[int, ...] = ()
        self.as_now: Callable[[], Mapping[str, Any]] | None = None
        self.in_use: tuple[Any, int] | None = None
        self.is_growing = False

    def bind(
        self,
        blocks: Mapping[str, Sequence[keras.Variable]],
        as_now: Callable[[], Mapping[str, Any]] | None = None,
    ) -> None:
        """See `RateByBlock.bind`."""
        self.as_now = as_now or self.as_now
        known = {id(v): name for name, variables in blocks.items() for v in variables}
        if known == self.name_of:
            return
        self.blocks = {name: tuple(variables) for name, variables in blocks.items()}
        self.name_of = known
        self.trained = None

    def that_train(self) -> tuple[str, ...]:
        """The blocks of which something trains now."""
        return tuple(
            name
            for name, variables in self.blocks.items()
            if any(variable.trainable for variable in variables)
        )

    def block_of(self, variable: Any) -> str:
        """The block of a variable.

        Raises:
            ValueError: If it is of none.
        """
        if id(variable) not in self.name_of and self.as_now is not None:
            self.bind(self.as_now())
        if id(variable) not in self.name_of:
            raise ValueError(
                f"Variable {getattr(variable, 'path', variable)} belongs to no block of this "
                "model. Train a model with the optimizer that it was compiled with."
            )
        return self.name_of[id(variable)]

    def add(self, block: str, made: Sequence[keras.Variable], done: int) -> None:
        """Note what was made for a block, after `done` updates of the optimizer."""
        self.of_block.setdefault(block, []).extend(made)
        self.missed.setdefault(block, done)

    def begin(self, done: int) -> None:
        """Note which blocks train from now on, after `done` updates of the optimizer."""
        now = self.that_train()
        for block in self.of_block:
            if block not in now:
                self.paused.setdefault(block, done)
            elif block in self.paused:
                self.missed[block] += done - self.paused.pop(block)
        self.trained = now
        self.change()

    def group(self, rates: LearningRates) -> dict[str, str]:
        """For each block that trains, the first one that trains as it does.

        Raises:
            ValueError: If a block has no rate.
        """
        first: dict[Any, str] = {}
        groups = {}
        for block in self.that_train():
            rate = rates.of(block)
            key = (rate.factor, id(rate.schedule), rate.began, self.missed.get(block, 0))
            groups[block] = first.setdefault(key, block)
        return groups

    def restart(self, done: int, own: Mapping[str, int]) -> None:
        """Let every block go on after `own` updates of its own, `done` of the optimizer."""
        self.missed = {block: done - updates for block, updates in own.items()}
        self.paused = dict.fromkeys(own, done)
        self.trained = None
        self.change()

    def change(self) -> None:
        """Note that rates or steps are others now, which compiled steps have in them."""
        self.groups, self.compiled_for = None, ()
