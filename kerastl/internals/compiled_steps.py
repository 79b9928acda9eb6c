"""Compile training steps on torch, one per shape of batch (Keras 3.15, torch 2.14)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


class CompiledPerShape(keras.Model):
    """A Keras model whose compiled steps on torch are for batches of one shape each.

    Keras lets torch guess which sizes change from batch to batch. For the
    channels-last memory that blocks pass on, inductor then fails (torch 2.14)
    at the first batch of another size, the last of an epoch among them.
    """

    train_function: Any
    test_function: Any
    predict_function: Any

    def make_train_function(self, force: bool = False) -> None:
        """As in Keras."""
        before = self.train_function
        super().make_train_function(force)
        if self.train_function is not before and self._compiles_on_torch():
            self.train_function = _last_of_each(_compiled(self.train_step))

    def make_test_function(self, force: bool = False) -> None:
        """As in Keras."""
        before = self.test_function
        super().make_test_function(force)
        if self.test_function is not before and self._compiles_on_torch():
            self.test_function = _last_of_each(_without_gradients(self.test_step))

    def make_predict_function(self, force: bool = False) -> None:
        """As in Keras."""
        before = self.predict_function
        super().make_predict_function(force)
        if self.predict_function is not before and self._compiles_on_torch():
            self.predict_function = _all_of_each(_without_gradients(self.predict_step))

    def _compiles_on_torch(self) -> bool:
        return keras.backend.backend() == "torch" and bool(self.jit_compile)


def _compiled(step: Callable[[Any], Any]) -> Callable[[Any], Any]:
    import torch

    return torch.compile(step, dynamic=False)


def _without_gradients(step: Callable[[Any], Any]) -> Callable[[Any], Any]:
    import torch

    return _compiled(torch.no_grad()(step))


# Keras gives a list of batches, `steps_per_execution` of them: one up to Keras 3.15, which
# refuses more on torch.


def _last_of_each(step: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A step on each batch of a list; what the last one gave is what Keras logs."""

    def steps(batches: Any) -> Any:
        logs: Any = {}
        for batch in batches:
            logs = step(batch)
        return logs

    return steps


def _all_of_each(step: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A step on each batch of a list; what they gave, one batch after the other."""

    def steps(batches: Any) -> Any:
        given = [step(batch) for batch in batches]
        if len(given) == 1:
            return given[0]
        return keras.tree.map_structure(lambda *parts: keras.ops.concatenate(parts), *given)

    return steps
