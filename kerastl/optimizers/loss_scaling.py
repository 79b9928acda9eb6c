"""Loss scaling around an optimizer whose set of variables grows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras


class LossScaleByBlock(keras.optimizers.LossScaleOptimizer):
    """Loss scaling around an optimizer that meets blocks one after the other."""

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

    def scale_loss(self, loss: Any) -> Any:
        """The loss, scaled by what the gradients will be divided by."""
        return loss * getattr(self, "dynamic_scale", self.initial_scale)
