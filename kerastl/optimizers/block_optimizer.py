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
from kerastl.optimizers.block_files import load_state, saved_state
from kerastl.optimizers.block_state import BlockStates
from kerastl.optimizers.learning_rates import LearningRates
from kerastl.optimizers.loss_scaling import LossScaleByBlock


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
    kind = _subclass(getattr(own, "_kind", own))
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


class RateByBlock(keras.optimizers.Optimizer):
    """What the subclasses have in common; see `rates_by_block`."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """An object that has its blocks before Keras sets anything on it."""
        made = super().__new__(cls)
        # Out of sight of Keras's tracking of attributes.
        made.__dict__.update(_rates=LearningRates(), _states=BlockStates())
        return made

    # === Blocks and their rates ===

    def bind(self, blocks: Mapping[str, Sequence[keras.Variable]]) -> None:
        """Say which variables belong to which block.

        Args:
            blocks: Every variable of each block that can train, frozen or not.
        """
        self._states.bind(blocks)

    @property
    def is_bound(self) -> bool:
        """Whether `bind` has been called."""
        return bool(self._states.blocks)

    @property
    def blocks_with_rates(self) -> tuple[str, ...]:
        """Names of the blocks that have a learning rate."""
        return tuple(self._rates.by_block)

    def set_learning_rates(self, learning_rates: Mapping[str, Any]) -> None:
        """Set rates; schedules among them start now. Moments are kept.

        Steps that are compiled have the rates in them: compile them anew.

        Args:
            learning_rates: Float or Keras schedule per block.

        Raises:
            TypeError: If a rate is neither.
            ValueError: If a rate is negative.
        """
        now = keras_optimizer.value_of(lambda: self._iterations)
        self._rates.set(self, learning_rates, now=now)
        self._states.change()

    def follow_own_rate(self) -> None:
        """Let every block train at the optimizer's own rate, as in Keras."""
        self._rates.follow(self, tuple(self._states.blocks))
        self._states.change()

    def rates_config(self) -> dict[str, Any]:
        """What a file says of the blocks' rates."""
        return self._rates.config()

    def restore_rates(self, config: Mapping[str, Any]) -> None:
        """Take the rates that `rates_config` gave."""
        self._rates.restore(config)
        self._states.change()

    def rate_at(self, block: str, step: int) -> float:
        """The rate of a block `step` batches after its rate was set."""
        return _as_float(self._rates.value(self, block, since=step))

    def current_rates(self) -> dict[str, float]:
        """The rate of each block that has one, for the next step."""
        return {block: _as_float(self._rates.value(self, block)) for block in self._rates.by_block}

    def last_rates(self) -> dict[str, float]:
        """The rate of each block that has one, of the last step."""
        rates = self._rates
        return {block: _as_float(rates.value(self, block, back=1)) for block in rates.by_block}

    @property
    def learning_rate(self) -> Any:
        """The highest rate: what is set to it scales the rates of all blocks alike.

        One rate or schedule for all blocks is itself, as in Keras. Where there
        are schedules alone, of one kind for each block, it is their factor, 1.
        """
        return self._get_current_learning_rate()

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        keras.optimizers.Optimizer.learning_rate.fset(self, value)
        self._rates.began = 0

    def _get_current_learning_rate(self) -> Any:
        in_use = self._states.in_use
        if in_use is not None:
            return in_use[0]
        began = self._rates.began
        return self._learning_rate(self._iterations - began) if began else self._own_rate()

    def _own_rate(self) -> Any:
        return super()._get_current_learning_rate()

    # === State ===

    def state_of(self, block: str) -> list[keras.Variable]:
        """What was made for a block; empty where it has not trained yet."""
        return list(self._states.of_block.get(block, ()))

    @property
    def built(self) -> bool:
        """Whether everything is made for the blocks that train now."""
        states = self._states
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
        states = self._states
        done = keras_optimizer.value_of(lambda: self._updates) if states.of_block else 0
        for block in dict.fromkeys(states.block_of(variable) for variable in variables):
            self._make_state(block, done)
        states.begin(done)

    def _make_state(self, block: str, done: int) -> None:
        states = self._states
        known = self._trainable_variables_indices
        missing = [v for v in states.blocks[block] if self._var_key(v) not in known]
        if not missing:
            return
        states.is_growing = True
        try:
            made = keras_optimizer.grow(self, missing, super().build)
        finally:
            states.is_growing = False
        states.add(block, made, done)
        if done and self.use_ema:
            for variable, average in zip(missing, self._averages[-len(missing) :], strict=True):
                average.assign(ops.copy(variable.value))
        if keras.backend.backend() == "torch":
            from kerastl.internals.fused_updates import follow_layout

            follow_layout(made, missing)

    def is_compiled_for_others(self, variables: Sequence[keras.Variable]) -> bool:
        """Whether what was compiled at the last call trains others, or at other rates."""
        before, now = self._states.compiled_for, tuple(id(variable) for variable in variables)
        self._states.compiled_for = now
        return before != now

    @property
    def _trainable_variables(self) -> list[keras.Variable]:
        """What trains now, in the model's order: what Keras's JAX trainer has gradients of."""
        members = (variable for block in self._states.blocks.values() for variable in block)
        return [variable for variable in members if variable.trainable]

    @_trainable_variables.setter
    def _trainable_variables(self, value: Any) -> None:
        """Keras sets it; the blocks decide it."""

    @property
    def _model_variables_moving_average(self) -> list[keras.Variable]:
        """The averages of what trains now: those of frozen blocks stay as they are."""
        if self._states.is_growing:  # TensorFlow reads what it is about to set
            return self._averages
        return [self._averages[self._get_variable_index(v)] for v in self._trainable_variables]

    @_model_variables_moving_average.setter
    def _model_variables_moving_average(self, value: list[keras.Variable]) -> None:
        self._averages = value

    def finalize_variable_values(self, var_list: Sequence[keras.Variable]) -> None:
        """Put the moving averages into the variables, where `use_ema` is on."""
        if not self.built:
            self.build(var_list)
        super().finalize_variable_values(var_list)
        if self.use_ema and keras.backend.backend() == "jax":
            # Keras 3.15 lets a weight and its average share memory, which the next step gives
            # away, and only once.
            for average in self._model_variables_moving_average:
                average.assign(ops.copy(average.value))

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
        updates, in_use = self._updates, self._states.in_use
        return updates - in_use[1] if in_use is not None and in_use[1] else updates

    @property
    def _updates(self) -> Any:
        return super().iterations

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
            trainable_variables = self._trainable_variables
        trainable_variables = list(trainable_variables)
        if len(grads) != len(trainable_variables):
            raise ValueError(
                "`grads` must have an entry for each variable. Received: "
                f"{len(grads)} gradients for {len(trainable_variables)} variables that train."
            )
        super().apply(grads, trainable_variables)

    def _check_variables_are_known(self, variables: Sequence[Any]) -> None:
        for variable in variables:
            self._states.block_of(variable)

    def _backend_update_step(
        self, grads: Any, trainable_variables: Any, learning_rate: Any
    ) -> None:
        groups = self._groups(trainable_variables)
        shared = self._states.shared(self) if len(groups) > 1 else []
        before = [ops.copy(ops.convert_to_tensor(variable)) for variable in shared]
        for number, (block, chosen) in enumerate(groups):
            if number:
                # An update advances what all variables share: once per step, not per block.
                for variable, value in zip(shared, before, strict=True):
                    self.assign(variable, value)
            if chosen is None:
                self._as_block(block, self._update_alike, grads, trainable_variables)
            else:
                members = [trainable_variables[index] for index in chosen]
                theirs = [grads[index] for index in chosen]
                self._as_block(block, self._update_alike, theirs, members)

    def _update_alike(self, grads: Any, variables: Any) -> None:
        """Update variables of one rate, on torch through a fused kernel where one serves."""
        fused, rate = self._fused_update, self.learning_rate
        if fused is None or not fused(self, grads, variables, rate):
            super()._backend_update_step(grads, variables, rate)

    def _apply_weight_decay(self, variables: Any) -> None:
        for block, chosen in self._groups(variables):
            members = variables if chosen is None else [variables[index] for index in chosen]
            # Torch cannot multiply nothing: a block may have norms alone.
            decayed = [variable for variable in members if self._use_weight_decay(variable)]
            if decayed:
                self._as_block(block, super()._apply_weight_decay, decayed)

    def _use_weight_decay(self, variable: Any) -> bool:
        """As the user excluded; biases and the scales and shifts of norms never."""
        return len(variable.shape) > 1 and super()._use_weight_decay(variable)

    def _groups(self, variables: Sequence[Any]) -> list[tuple[str, list[int] | None]]:
        """Variables that train alike: a block that stands for all, and their places; None: all."""
        states = self._states
        if states.groups is None:
            states.groups = states.group(self._rates)
        representatives = states.groups
        one = next(iter(representatives.values()), None)
        if one is not None and all(block == one for block in representatives.values()):
            return [(one, None)]
        places: dict[str, list[int]] = {}
        for place, variable in enumerate(variables):
            block = states.name_of[id(variable)]
            places.setdefault(representatives.get(block, block), []).append(place)
        return list(places.items())

    def _as_block(self, block: str, update: Callable[..., None], *arguments: Any) -> None:
        """Call an update within which the rate and the count of updates are a block's."""
        states = self._states
        states.in_use = (self._rates.value(self, block), states.missed.get(block, 0))
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
        "_kind": kind,
        "_fused_update": None if fused is None else staticmethod(fused),
    }
    name = keras.saving.get_registered_name(public)
    return type(name, (LossScaleByBlock if scales else RateByBlock, kind), members)


def _as_float(rate: Any) -> float:
    return float(ops.convert_to_numpy(rate))
