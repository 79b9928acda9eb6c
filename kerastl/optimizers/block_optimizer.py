"""One Keras optimizer per block, with a learning rate or schedule of its own.

`keras.optimizers.MultiOptimizer` does not serve: it cannot be applied to a
subset of what it was built on, clips each part by its own norm, and starts
anew when the set of trained variables changes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
from keras import ops

_DEFAULT_RATE = 0.001


@keras.saving.register_keras_serializable(package="kerastl")
class BlockOptimizer(keras.optimizers.Optimizer):
    """Trains every block with its own copy of one optimizer.

    A block's copy is made when the block first trains and is kept for the life
    of this object: freezing and unfreezing a block leaves the moments of all
    blocks as they were. Gradients are clipped by `global_clipnorm` over all
    blocks together and accumulated for all blocks together. Weight decay
    leaves out variables of rank 0 and 1: biases and the scales of norms.

    A schedule is evaluated at the number of batches since its rate was set, as
    Keras's optimizers do, accumulation or not.

    Args:
        optimizer: Keras optimizer to copy, its learning rate aside.
        learning_rates: Rate per block: a float or a Keras schedule.
    """

    def __init__(
        self,
        optimizer: keras.optimizers.Optimizer,
        learning_rates: Mapping[str, Any],
        name: str = "block_optimizer",
    ) -> None:
        template = optimizer.get_config()
        template.pop("learning_rate", None)
        super().__init__(
            learning_rate=_DEFAULT_RATE,
            global_clipnorm=template.pop("global_clipnorm", None),
            loss_scale_factor=template.pop("loss_scale_factor", None),
            gradient_accumulation_steps=template.pop("gradient_accumulation_steps", None),
            name=name,
        )
        self._optimizer_class = _portable_class(optimizer)
        self._template = template
        self._schedules: dict[str, Any] = {}
        self._floats: dict[str, keras.Variable] = {}
        self._starts: dict[str, keras.Variable] = {}
        self._states: dict[str, _BlockState] = {}
        self._blocks: dict[str, tuple[keras.Variable, ...]] = {}
        self._block_of: dict[int, str] = {}
        self.set_learning_rates(learning_rates)

    def bind(self, blocks: Mapping[str, Sequence[keras.Variable]]) -> None:
        """Say which variables belong to which block.

        Args:
            blocks: Every variable of each block that can train, frozen or not.
        """
        self._blocks = {name: tuple(variables) for name, variables in blocks.items()}
        self._block_of = {
            id(variable): name for name, variables in blocks.items() for variable in variables
        }

    @property
    def blocks_with_rates(self) -> tuple[str, ...]:
        """Names of the blocks that have a learning rate."""
        return tuple({**self._floats, **self._schedules})

    def set_learning_rates(self, learning_rates: Mapping[str, Any]) -> None:
        """Set rates; schedules among them start now. Moments are kept.

        Args:
            learning_rates: Float or Keras schedule per block.

        Raises:
            TypeError: If a rate is neither.
            ValueError: If a rate is negative.
        """
        for block, rate in learning_rates.items():
            self._schedules.pop(block, None)
            if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
                self._floats.pop(block, None)
                self._schedules[block] = rate
            else:
                self._set_float(block, rate)
            if block not in self._starts:
                self._starts[block] = self._scalar(0, "int", f"{block}_start")
            # A copy: JAX gives each variable's memory away in a step, and only once.
            self._starts[block].assign(ops.copy(self._iterations.value))

    def _set_float(self, block: str, rate: Any) -> None:
        if isinstance(rate, bool) or not isinstance(rate, int | float):
            raise TypeError(
                "`learning_rate` of a block must be a float or a Keras LearningRateSchedule. "
                f"Received: {block}={rate!r}."
            )
        if not rate >= 0:
            raise ValueError(f"`learning_rate` must not be negative. Received: {block}={rate}.")
        if block not in self._floats:
            self._floats[block] = self._scalar(0.0, "float32", f"{block}_rate")
        self._floats[block].assign(rate)

    def _scalar(self, value: float, dtype: str, name: str) -> keras.Variable:
        return keras.Variable(value, dtype=dtype, trainable=False, name=name)

    def rate_at(self, block: str, step: int) -> float:
        """The rate of a block `step` batches after its rate was set."""
        if block in self._floats:
            return float(self._floats[block])
        return float(ops.convert_to_numpy(self._schedules[block](step)))

    def current_rates(self) -> dict[str, float]:
        """The rate of each block that has one, for the next step."""
        return self._rates(0)

    def last_rates(self) -> dict[str, float]:
        """The rate of each block that has one, of the last step."""
        return self._rates(1)

    def _rates(self, back: int) -> dict[str, float]:
        return {
            block: float(ops.convert_to_numpy(self._current(block, back)))
            for block in self.blocks_with_rates
        }

    def _current(self, block: str, back: int = 0) -> Any:
        if block in self._floats:
            return self._floats[block].value
        steps = self._iterations - self._starts[block]
        return self._schedules[block](ops.maximum(steps - back, 0) if back else steps)

    @property
    def learning_rate(self) -> Any:
        """The highest current rate; setting it scales every block's rate alike."""
        rates = self.current_rates()
        return ops.convert_to_tensor(max(rates.values(), default=0.0), "float32")

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if self._schedules:
            raise TypeError(
                f"The learning rate follows a schedule in {', '.join(self._schedules)} and cannot "
                "be set. Compile with float rates for callbacks that set it."
            )
        highest = max((float(rate) for rate in self._floats.values()), default=0.0)
        if highest > 0:
            factor = float(ops.convert_to_numpy(value)) / highest
            for rate in self._floats.values():
                rate.assign(float(rate) * factor)

    def optimizer_of(self, block: str) -> keras.optimizers.Optimizer | None:
        """The optimizer of a block, or None where the block has not trained yet."""
        state = self._states.get(block)
        return state.optimizer if state else None

    @property
    def variables(self) -> list[keras.Variable]:
        """The iteration counter, the rates, and the state of every block that has trained.

        A compiled step gets these as its input: what is not among them would
        stay as it was when the step was compiled.
        """
        states = (self._named_state(block).values() for block in self._states)
        return [
            self._iterations,
            *self._floats.values(),
            *self._starts.values(),
            *(variable for state in states for variable in state),
        ]

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Make the optimizers of the blocks that these variables belong to.

        Args:
            variables: Those that `apply` gets gradients for where it is not told.
        """
        self._build_blocks(variables)
        self._trainable_variables = list(variables)

    def _build_blocks(self, variables: Sequence[keras.Variable]) -> None:
        for block in self._group(variables):
            self._build_block(block)
        self.built = True

    def _build_block(self, block: str) -> None:
        if block in self._states:
            return
        variables = list(self._blocks[block])
        inner = self._optimizer_class.from_config({**self._template, "name": block})
        inner.learning_rate = partial(self._current, block)
        inner.exclude_from_weight_decay(var_list=[v for v in variables if len(v.shape) <= 1])
        inner.build(variables)
        accumulators = {}
        if self.gradient_accumulation_steps:
            accumulators = {
                id(v): keras.Variable(ops.zeros(v.shape, dtype=v.dtype), trainable=False)
                for v in variables
            }
        self._states[block] = _BlockState(inner, accumulators)
        if keras.backend.backend() == "torch":
            from kerastl.internals.fused_updates import follow_layout, fuse_updates

            follow_layout([*inner.variables, *accumulators.values()], variables)
            fuse_updates(inner, self._optimizer_class)

    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        """Update the variables that have a gradient.

        Args:
            grads: A tensor or None per variable.
            trainable_variables: Any of the bound variables, in the same order. None:
                those that `build` got, else all that train.

        Raises:
            ValueError: If no variable has a gradient, one is not of this
                model, or a block has no learning rate.
        """
        if trainable_variables is None:
            trainable_variables = self._trainable_variables or self._that_train()
        pairs = [(g, v) for g, v in zip(grads, trainable_variables, strict=True) if g is not None]
        if not pairs:
            raise ValueError("No gradients provided for any variable. Unfreeze a block.")
        grads, variables = [g for g, _ in pairs], [v for _, v in pairs]
        self._build_blocks(variables)
        if self.loss_scale_factor is not None:
            grads = [g / self.loss_scale_factor for g in grads]
        if self.gradient_accumulation_steps:
            self._accumulate(grads, variables)
        else:
            self._update(grads, variables)
        self._iterations.assign_add(1)

    def _that_train(self) -> list[keras.Variable]:
        members = (variable for block in self._blocks.values() for variable in block)
        return [variable for variable in members if variable.trainable]

    def _accumulate(self, grads: Sequence[Any], variables: Sequence[Any]) -> None:
        """Add to the accumulators; update with the mean gradients where a cycle is full."""
        steps = self.gradient_accumulation_steps
        kept = [self._states[self._block_of[id(v)]].accumulators[id(v)] for v in variables]
        sums = [grad + accumulator.value for grad, accumulator in zip(grads, kept, strict=True)]
        is_full = ops.equal((self._iterations.value + 1) % steps, 0)
        mean = [total / steps for total in sums]
        if keras.backend.backend() == "torch":
            if bool(is_full):
                self._update(mean, variables)
        else:
            # One compiled step for all: update, and take it back where the cycle is not full.
            states = [self._states[block].optimizer.variables for block in self._group(variables)]
            changed = [*variables, *(variable for state in states for variable in state)]
            before = [ops.copy(variable.value) for variable in changed]
            self._update(mean, variables)
            for variable, old in zip(changed, before, strict=True):
                variable.assign(ops.where(is_full, variable.value, old))
        for accumulator, total in zip(kept, sums, strict=True):
            accumulator.assign(ops.where(is_full, ops.zeros_like(total), total))

    def _update(self, grads: Sequence[Any], variables: Sequence[Any]) -> None:
        if self.global_clipnorm:
            grads = _clip_by_global_norm(grads, self.global_clipnorm)
        by_variable = {id(v): g for g, v in zip(grads, variables, strict=True)}
        for block, members in self._group(variables).items():
            self._states[block].optimizer.apply([by_variable[id(v)] for v in members], members)

    def _group(self, variables: Sequence[Any]) -> dict[str, list[Any]]:
        groups = defaultdict(list)
        for variable in variables:
            block = self._block_of.get(id(variable))
            if block is None:
                raise ValueError(
                    f"Variable {variable.path} belongs to no block of this model. "
                    "Train a model with the optimizer that it was compiled with."
                )
            if block not in self._floats and block not in self._schedules:
                raise ValueError(
                    f"Block {block!r} trains but has no learning rate. Give it one with "
                    f"model.unfreeze({block!r}, learning_rate=...) or in compile. "
                    f"Blocks with a rate: {', '.join(self.blocks_with_rates)}."
                )
            groups[block].append(variable)
        return groups

    def finalize_variable_values(self, var_list: Sequence[keras.Variable]) -> None:
        """Put the moving averages into the variables, where `use_ema` is on."""
        for block in self._group(var_list):
            if block in self._states:
                inner = self._states[block].optimizer
                inner.finalize_variable_values(list(self._blocks[block]))

    def _named_state(self, block: str) -> dict[str, keras.Variable]:
        """A block's variables, under names that do not depend on the other blocks."""
        state = self._states[block]
        named = {f"{block}:{i}": v for i, v in enumerate(state.optimizer.variables)}
        gathered = enumerate(state.accumulators.values())
        return {**named, **{f"{block}:accumulator{i}": v for i, v in gathered}}

    def save_own_variables(self, store: Any) -> None:
        store["iterations"] = ops.convert_to_numpy(self._iterations)
        for block in self.blocks_with_rates:
            store[f"{block}:start"] = ops.convert_to_numpy(self._starts[block])
        for block, rate in self._floats.items():
            store[f"{block}:rate"] = ops.convert_to_numpy(rate)
        for block in self._states:
            for key, variable in self._named_state(block).items():
                store[key] = ops.convert_to_numpy(variable)

    def load_own_variables(self, store: Any) -> None:
        self._iterations.assign(store["iterations"])
        for block in self.blocks_with_rates:
            self._starts[block].assign(store[f"{block}:start"])
        for block, rate in self._floats.items():
            rate.assign(store[f"{block}:rate"])
        for block in self._blocks:
            if f"{block}:0" in store:
                self._build_block(block)
                for key, variable in self._named_state(block).items():
                    variable.assign(store[key])
        self.built = True

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "optimizer": keras.saving.serialize_keras_object(self.template()),
            "learning_rates": {
                block: self._schedule_config(block) for block in self.blocks_with_rates
            },
        }

    def template(self) -> keras.optimizers.Optimizer:
        """A fresh optimizer with the options that every block's copy shares."""
        return self._optimizer_class.from_config(
            {
                **self._template,
                "learning_rate": _DEFAULT_RATE,
                "global_clipnorm": self.global_clipnorm,
                "loss_scale_factor": self.loss_scale_factor,
                "gradient_accumulation_steps": self.gradient_accumulation_steps,
            }
        )

    def _schedule_config(self, block: str) -> Any:
        if block in self._floats:
            return float(self._floats[block])
        return keras.saving.serialize_keras_object(self._schedules[block])

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> BlockOptimizer:
        restore = keras.saving.deserialize_keras_object
        rates = {
            block: restore(rate, custom_objects) if isinstance(rate, dict) else rate
            for block, rate in config["learning_rates"].items()
        }
        return cls(restore(config["optimizer"], custom_objects), rates, name=config["name"])


@dataclass(frozen=True)
class _BlockState:
    """What the optimizer keeps for one block.

    Attributes:
        optimizer: The block's copy of the optimizer.
        accumulators: Sum of gradients by `id` of the variable.
    """

    optimizer: keras.optimizers.Optimizer
    accumulators: dict[int, keras.Variable]


def _portable_class(optimizer: keras.optimizers.Optimizer) -> type[keras.optimizers.Optimizer]:
    """The public class behind a backend's own: a file that names that one opens there only."""
    kinds = (kind for kind in type(optimizer).__mro__ if "keras.src.backend" not in kind.__module__)
    return next(kinds)


def _clip_by_global_norm(grads: Sequence[Any], norm: float) -> list[Any]:
    """Scale all gradients so that their common norm is at most `norm`."""
    total = ops.sqrt(ops.sum(ops.stack([ops.sum(ops.square(g)) for g in grads])))
    # A norm that is not finite gives gradients that are not, as in Keras.
    scale = norm / ops.maximum(total, norm) + (total - total)
    return [g * scale for g in grads]
