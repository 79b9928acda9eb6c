"""Keras's optimizers by private names: updates in parts, and parts that come later.

What Keras 3.15 asks of an optimizer by private names is answered here through
public ones, which `kerastl.optimizers` defines. Keras's own code is called
for all that is not about parts: `_backend_update_step`, `_apply_weight_decay`,
`_use_weight_decay`, `_get_current_learning_rate`, `_trainable_variables`, which
its JAX trainer reads, `_model_variables_moving_average`, and `_clip_gradients`, which
comes once per update, when gradients are accumulated and before any is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from kerastl.internals import keras_optimizer
from kerastl.processes.share import everywhere, summed_gradients, weighted_loss

Part = tuple[str, list[int] | None]
"""Name of a part, and places of its variables among those given; None: all of them."""


class PartByPart(keras.optimizers.Optimizer):
    """An optimizer that updates its variables part by part; the base of a mixin.

    Attributes:
        fused_update: Updates through a fused kernel, and says whether it could; or None.
    """

    fused_update: Any = None

    # === What a subclass says ===

    def variables_that_train(self) -> list[keras.Variable]:
        """What trains now, in the model's order."""
        raise NotImplementedError

    def parts_of(self, variables: Sequence[Any]) -> list[Part]:
        """The parts of variables that are updated together."""
        raise NotImplementedError

    def as_part(self, part: str, update: Callable[..., None], *arguments: Any) -> None:
        """Call an update within which rate and count of updates are a part's."""
        raise NotImplementedError

    def shared_variables(self) -> list[keras.Variable]:
        """The state that all parts share and an update advances."""
        raise NotImplementedError

    def is_growing(self) -> bool:
        """Whether state is being made."""
        raise NotImplementedError

    def rate_now(self) -> Any:
        """The learning rate: the optimizer's, or the one of the part that is updated."""
        raise NotImplementedError

    def may_decay(self, variable: Any) -> bool:
        """Whether weight decay may change a variable that the user has not excluded."""
        raise NotImplementedError

    def check_known(self, variables: Sequence[Any]) -> None:
        """Refuse variables that are not this optimizer's."""
        raise NotImplementedError

    # === What it can do with Keras's own state ===

    @property
    def own_rate(self) -> Any:
        """What `learning_rate` was set to: a variable, a schedule or a function."""
        return self._learning_rate

    @property
    def batches_seen(self) -> Any:
        """The variable that counts batches."""
        return self._iterations

    @property
    def updates_done(self) -> Any:
        """Updates so far: fewer than batches where gradients are accumulated."""
        return super().iterations

    def replace_rate(self, start: float) -> None:
        """Put a variable in the place of a schedule or a function."""
        self._learning_rate = keras.Variable(
            start,
            dtype=keras.config.floatx(),
            trainable=False,
            name="learning_rate",
            aggregation="only_first_replica",
        )

    def rate_of_keras(self) -> Any:
        """The rate as Keras has it for the next batch."""
        return super()._get_current_learning_rate()

    def without_state(self, variables: Sequence[keras.Variable]) -> list[keras.Variable]:
        """Those that no state was made for yet."""
        known = self._trainable_variables_indices
        return [variable for variable in variables if self._var_key(variable) not in known]

    def make_state(self, variables: Sequence[keras.Variable]) -> list[keras.Variable]:
        """Let Keras's `build` make state for further variables; what it made."""
        return keras_optimizer.grow(self, variables, super().build)

    def start_averages(self, variables: Sequence[keras.Variable]) -> None:
        """Let the moving averages of the variables that were added last start from their values."""
        averages = self._averages[-len(variables) :]
        for variable, average in zip(variables, averages, strict=True):
            average.assign(ops.copy(variable.value))

    def copy_averages(self) -> None:
        """Give each moving average memory of its own.

        Keras 3.15 lets a weight and its average share it, which a step on JAX
        gives away, and only once.
        """
        for average in self._model_variables_moving_average:
            average.assign(ops.copy(average.value))

    # === What Keras asks ===

    @property
    def _trainable_variables(self) -> list[keras.Variable]:
        return self.variables_that_train()

    @_trainable_variables.setter
    def _trainable_variables(self, value: Any) -> None:
        """Keras sets it; the parts decide it."""

    @property
    def _model_variables_moving_average(self) -> list[keras.Variable]:
        """The averages of what trains now: those of the others stay as they are."""
        if self.is_growing():  # TensorFlow reads what it is about to set
            return self._averages
        return [self._averages[self._get_variable_index(v)] for v in self._trainable_variables]

    @_model_variables_moving_average.setter
    def _model_variables_moving_average(self, value: list[keras.Variable]) -> None:
        self._averages = value

    def _get_current_learning_rate(self) -> Any:
        return self.rate_now()

    def _check_variables_are_known(self, variables: Sequence[Any]) -> None:
        self.check_known(variables)

    def scale_loss(self, loss: Any) -> Any:
        """As in Keras, weighted by this process's share of the batch."""
        return super().scale_loss(weighted_loss(loss))

    def _clip_gradients(self, grads: Any) -> Any:
        return super()._clip_gradients(summed_gradients(grads))

    def _backend_update_step(
        self, grads: Any, trainable_variables: Any, learning_rate: Any
    ) -> None:
        parts = self.parts_of(trainable_variables)
        shared = self.shared_variables() if len(parts) > 1 else []
        before = [ops.copy(ops.convert_to_tensor(variable)) for variable in shared]
        for number, (part, places) in enumerate(parts):
            if number:
                # An update advances what all parts share: once per step, not per part.
                for variable, value in zip(shared, before, strict=True):
                    self.assign(variable, value)
            theirs, members = _at(places, grads), _at(places, trainable_variables)
            self.as_part(part, self._update_alike, theirs, members)

    def _update_alike(self, grads: Any, variables: Any) -> None:
        """Update variables of one rate, on torch through a fused kernel where one serves."""
        fused, rate = self.fused_update, self.learning_rate
        if fused is None or not fused(self, grads, variables, rate):
            super()._backend_update_step(grads, variables, rate)

    def _apply_weight_decay(self, variables: Any) -> None:
        for part, places in self.parts_of(variables):
            # Torch cannot multiply nothing: a part may have norms alone.
            decayed = [v for v in _at(places, variables) if self._use_weight_decay(v)]
            if decayed:
                self.as_part(part, super()._apply_weight_decay, decayed)

    def _use_weight_decay(self, variable: Any) -> bool:
        return self.may_decay(variable) and super()._use_weight_decay(variable)


class GrowingLossScale(keras.optimizers.LossScaleOptimizer):
    """Loss scaling around an optimizer whose set of variables grows.

    Keras 3.15 builds the scale and the optimizer inside in one go.
    """

    @property
    def built(self) -> bool:
        """Whether the scale and all that the inner optimizer needs now is made."""
        return hasattr(self, "dynamic_scale") and self.inner_optimizer.built

    @built.setter
    def built(self, value: bool) -> None:
        """Keras sets it; the inner optimizer decides it."""

    @property
    def _trainable_variables(self) -> list[keras.Variable]:
        return list(self.inner_optimizer._trainable_variables)

    @_trainable_variables.setter
    def _trainable_variables(self, value: Any) -> None:
        """Keras sets it; the inner optimizer decides it."""

    def build(self, var_list: Sequence[keras.Variable]) -> None:
        """Make the scale, once, and what the inner optimizer needs."""
        if hasattr(self, "dynamic_scale"):
            self.inner_optimizer.build(var_list)
        else:
            super().build(var_list)

    def save_own_variables(self, store: Any) -> None:
        """Write the scale; what is inside has its own place in a file."""
        for number, variable in enumerate(self._variables):
            store[str(number)] = ops.convert_to_numpy(variable)

    def load_own_variables(self, store: Any) -> None:
        """Take the scale of a file, where it has one."""
        if not hasattr(self, "dynamic_scale"):
            self.build([])
        numbers = [str(number) for number in range(len(self._variables))]
        if all(number in store.keys() for number in numbers):  # noqa: SIM118
            for number, variable in zip(numbers, self._variables, strict=True):
                variable.assign(store[number])

    def scale_loss(self, loss: Any) -> Any:
        """The loss, scaled by what the gradients will be divided by."""
        return weighted_loss(loss) * getattr(self, "dynamic_scale", self.initial_scale)

    def check_finite(self, grads: Any) -> Any:
        """Whether all gradients are finite, on all processes."""
        return everywhere(super().check_finite(grads))


def _at(places: list[int] | None, values: Any) -> Any:
    return values if places is None else [values[place] for place in places]
