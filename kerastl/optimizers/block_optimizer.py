"""The user's own optimizer, with a learning rate for each block.

`rates_by_block` gives a copy of an optimizer whose class is a subclass, made
here, of the optimizer's own. It splits what trains by block where the update
and the weight decay happen, each block at its own rate, and leaves the rest
to Keras: moments, moving averages, accumulation, clipping, loss scaling.

A block's state is made when it first trains and is kept for good: freezing
and unfreezing leave it as it was. A block's own steps count for the bias
correction of its moments, as in PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import keras
from keras import ops

from kerastl.internals import keras_optimizer
from kerastl.internals.part_by_part import GrowingLossScale, Part, PartByPart
from kerastl.optimizers.block_files import load_state, saved_state
from kerastl.optimizers.block_state import BlockStates
from kerastl.optimizers.learning_rates import LearningRates


def rates_by_block(optimizer: keras.optimizers.Optimizer) -> Any:
    """A copy of an optimizer, without its state, that can train each block at its own rate.

    Args:
        optimizer: Any Keras optimizer; it stays as it is.

    Returns:
        An instance of a subclass of the optimizer's own class.

    Raises:
        TypeError: For a `MultiOptimizer`, which has rates of its own.
    """
    if isinstance(optimizer, keras.optimizers.MultiOptimizer):
        raise TypeError(
            "`optimizer` must be one optimizer for all blocks. Received: a MultiOptimizer. "
            "Pass one of its optimizers, and `learning_rate` as a dict of block to rate."
        )
    own: Any = type(optimizer)
    kind = _subclass(getattr(own, "plain_class", own))
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        made = keras.optimizers.LossScaleOptimizer(
            rates_by_block(optimizer.inner_optimizer),
            initial_scale=optimizer.initial_scale,
            dynamic_growth_steps=optimizer.dynamic_growth_steps,
            name=optimizer.name,
        )
        made.__class__ = kind
        return made
    return keras_optimizer.copied(optimizer, kind)


def wrapped(optimizer: Any) -> Any:
    """What a loss-scale optimizer wraps, or the optimizer itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def follow_blocks(optimizer: Any) -> None:
    """Let a loss-scale optimizer that Keras put around ours know of the blocks."""
    if type(optimizer) is keras.optimizers.LossScaleOptimizer:
        kind: Any = keras.optimizers.LossScaleOptimizer
        optimizer.__class__ = _subclass(kind)


class RateByBlock(PartByPart):
    """What the subclasses have in common; see `rates_by_block`."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """An object that has its blocks before Keras sets anything on it."""
        made = super().__new__(cls)
        # Out of sight of Keras's tracking of attributes.
        made.__dict__.update(block_rates=LearningRates(), block_states=BlockStates())
        return made

    # === Blocks and their rates ===

    def bind(
        self,
        blocks: Mapping[str, Sequence[keras.Variable]],
        *,
        as_now: Callable[[], Mapping[str, Any]] | None = None,
    ) -> None:
        """Say which variables belong to which block.

        Args:
            blocks: Every variable of each block that can train, frozen or not.
            as_now: Says it anew, for variables that a layer gets later.
        """
        self.block_states.bind(blocks, as_now)

    @property
    def is_bound(self) -> bool:
        """Whether `bind` has been called."""
        return bool(self.block_states.blocks)

    @property
    def blocks_with_rates(self) -> tuple[str, ...]:
        """Names of the blocks that have a learning rate."""
        return tuple(self.block_rates.by_block)

    def set_learning_rates(self, learning_rates: Mapping[str, Any]) -> None:
        """Set rates; schedules among them start now. Moments are kept.

        Steps that are compiled have the rates in them: compile them anew.

        Args:
            learning_rates: Float or Keras schedule per block.

        Raises:
            TypeError: If a rate is neither.
            ValueError: If a rate is negative.
        """
        now = keras_optimizer.value_of(lambda: self.batches_seen)
        self.block_rates.set(self, learning_rates, now=now)
        self.block_states.change()

    def follow_own_rate(self) -> None:
        """Let every block train at the optimizer's own rate, as in Keras."""
        self.block_rates.follow(self, tuple(self.block_states.blocks))
        self.block_states.change()

    def rates_config(self) -> dict[str, Any]:
        """What a file says of the blocks' rates."""
        return self.block_rates.config()

    def restore_rates(self, config: Mapping[str, Any]) -> None:
        """Take the rates that `rates_config` gave."""
        self.block_rates.restore(config)
        self.block_states.change()

    def rate_at(self, block: str, step: int) -> float:
        """The rate of a block `step` batches after its rate was set."""
        return _as_float(self.block_rates.value(self, block, since=step))

    def current_rates(self) -> dict[str, float]:
        """The rate of each block that has one, for the next step."""
        return {
            block: _as_float(self.block_rates.value(self, block))
            for block in self.block_rates.by_block
        }

    def last_rates(self) -> dict[str, float]:
        """The rate of each block that has one, of the last step."""
        rates = self.block_rates
        return {block: _as_float(rates.value(self, block, back=1)) for block in rates.by_block}

    @property
    def learning_rate(self) -> Any:
        """The highest rate: what is set to it scales the rates of all blocks alike.

        One rate or schedule for all blocks is itself, as in Keras. Where every
        block has a schedule of its own it is their factor, 1, and cannot be set,
        as a schedule in Keras cannot.
        """
        return self.rate_now()

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if self.block_rates.are_all_schedules():
            raise TypeError(
                "`learning_rate` must be set by block where every block has a schedule of its own. "
                f"Received: {value}. Say model.compile(optimizer=model.optimizer, "
                "learning_rate=...), or compile with float rates for callbacks that set it."
            )
        keras.optimizers.Optimizer.learning_rate.fset(self, value)
        self.block_rates.began = 0

    def rate_now(self) -> Any:
        """The learning rate for the next batch; within a block's update, the block's."""
        in_use = self.block_states.in_use
        if in_use is not None:
            return in_use[0]
        began = self.block_rates.began
        return self.own_rate(self.batches_seen - began) if began else self.rate_of_keras()

    # === State ===

    def state_of(self, block: str) -> list[keras.Variable]:
        """What was made for a block; empty where it has not trained yet."""
        return list(self.block_states.of_block.get(block, ()))

    @property
    def built(self) -> bool:
        """Whether everything is made for the blocks that train now."""
        states = self.block_states
        return not states.is_growing and states.trained == states.that_train()

    @built.setter
    def built(self, value: bool) -> None:
        """Keras sets it; the blocks decide it."""

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Make the state of the blocks of these variables that have none yet.

        Args:
            variables: Those that train now.

        Raises:
            ValueError: If one is of no block.
        """
        states = self.block_states
        done = keras_optimizer.value_of(lambda: self.updates_done) if states.of_block else 0
        for block in dict.fromkeys(states.block_of(variable) for variable in variables):
            self.add_state(block, done)
        states.begin(done)

    def add_state(self, block: str, done: int) -> None:
        """Make the state of a block that has none yet, after `done` updates."""
        states = self.block_states
        missing = self.without_state(states.blocks[block])
        if not missing:
            return
        states.is_growing = True
        try:
            made = self.make_state(missing)
        finally:
            states.is_growing = False
        states.add(block, made, done)
        if done and self.use_ema:
            self.start_averages(missing)
        if keras.backend.backend() == "torch":
            from kerastl.internals.fused_updates import follow_layout

            follow_layout(made, missing)

    def is_compiled_for_others(self, variables: Sequence[keras.Variable]) -> bool:
        """Whether what was compiled at the last call trains others, or at other rates."""
        before, now = self.block_states.compiled_for, tuple(id(variable) for variable in variables)
        self.block_states.compiled_for = now
        return before != now

    def variables_that_train(self) -> list[keras.Variable]:
        """What trains now, in the model's order: what Keras's JAX trainer has gradients of."""
        members = (variable for block in self.block_states.blocks.values() for variable in block)
        return [variable for variable in members if variable.trainable]

    def is_growing(self) -> bool:
        """Whether state is being made."""
        return self.block_states.is_growing

    def finalize_variable_values(self, var_list: Sequence[keras.Variable]) -> None:
        """Put the moving averages into the variables, where `use_ema` is on."""
        if not self.built:
            self.build(var_list)
        super().finalize_variable_values(var_list)
        if self.use_ema and keras.backend.backend() == "jax":
            self.copy_averages()

    def save_own_variables(self, store: Any) -> None:
        """Write the state under the names of the blocks."""
        for name, value in saved_state(self).items():
            store[name] = value

    def load_own_variables(self, store: Any) -> None:
        """Take the state of a file, and say what cannot be taken."""
        load_state(self, store)

    # === Training ===

    @property
    def iterations(self) -> Any:
        """Updates so far; while a block is updated, its own."""
        updates, in_use = self.updates_done, self.block_states.in_use
        return updates - in_use[1] if in_use is not None and in_use[1] else updates

    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        """Update variables.

        Args:
            grads: A tensor or None per variable.
            trainable_variables: Any of the model's variables, in the same order.
                None: all that train.

        Raises:
            ValueError: If no variable has a gradient, one is not of this
                model, or a block has no learning rate.
        """
        if trainable_variables is None:
            trainable_variables = self.variables_that_train()
        trainable_variables = list(trainable_variables)
        if len(grads) != len(trainable_variables):
            raise ValueError(
                "`grads` must have an entry for each variable. Received: "
                f"{len(grads)} gradients for {len(trainable_variables)} variables that train."
            )
        super().apply(grads, trainable_variables)

    def check_known(self, variables: Sequence[Any]) -> None:
        """Refuse a variable that is of no block."""
        for variable in variables:
            self.block_states.block_of(variable)

    def shared_variables(self) -> list[keras.Variable]:
        """The state that all blocks share, the step and the rate aside."""
        own = {id(self.batches_seen), id(self.own_rate)}
        own |= {id(v) for made in self.block_states.of_block.values() for v in made}
        return [variable for variable in self.variables if id(variable) not in own]

    def may_decay(self, variable: Any) -> bool:
        """Biases and the scales and shifts of norms never decay."""
        return len(variable.shape) > 1

    def parts_of(self, variables: Sequence[Any]) -> list[Part]:
        """Variables that train alike, under the name of a block that stands for all of them."""
        states = self.block_states
        if states.groups is None:
            states.groups = states.group(self.block_rates)
        representatives = states.groups
        one = next(iter(representatives.values()), None)
        if one is not None and all(block == one for block in representatives.values()):
            return [(one, None)]
        places: dict[str, list[int]] = {}
        for place, variable in enumerate(variables):
            block = states.name_of[id(variable)]
            places.setdefault(representatives.get(block, block), []).append(place)
        return list(places.items())

    def as_part(self, part: str, update: Callable[..., None], *arguments: Any) -> None:
        """Call an update within which the rate and the count of updates are a block's."""
        states = self.block_states
        states.in_use = (self.block_rates.value(self, part), states.missed.get(part, 0))
        try:
            update(*arguments)
        finally:
            states.in_use = None


@cache
def _subclass(kind: type) -> type:
    """The subclass of an optimizer's class that has rates by block."""
    public = keras_optimizer.public_class(kind)
    is_kerass = getattr(keras.optimizers, public.__name__, None) is public
    scales = issubclass(kind, keras.optimizers.LossScaleOptimizer)
    fused = None
    if keras.backend.backend() == "torch":
        from kerastl.internals.fused_updates import fused_update

        fused = fused_update(kind)
    members = {
        "__doc__": kind.__doc__,
        # A file names these: it holds the optimizer as the user gave it.
        "__module__": "keras.optimizers" if is_kerass else public.__module__,
        "plain_class": kind,
        "fused_update": None if fused is None else staticmethod(fused),
    }
    name = keras.saving.get_registered_name(public)
    return type(name, (GrowingLossScale if scales else RateByBlock, kind), members)


def _as_float(rate: Any) -> float:
    return float(ops.convert_to_numpy(rate))
