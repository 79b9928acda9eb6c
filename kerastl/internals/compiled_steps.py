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
            self.train_function = _compiled(lambda data: self.train_step(data[0]))

    def make_test_function(self, force: bool = False) -> None:
        """As in Keras."""
        before = self.test_function
        super().make_test_function(force)
        if self.test_function is not before and self._compiles_on_torch():
            self.test_function = _compiled_without_gradients(self.test_step)

    def make_predict_function(self, force: bool = False) -> None:
        """As in Keras."""
        before = self.predict_function
        super().make_predict_function(force)
        if self.predict_function is not before and self._compiles_on_torch():
            self.predict_function = _compiled_without_gradients(self.predict_step)

    def _compiles_on_torch(self) -> bool:
        return keras.backend.backend() == "torch" and bool(self.jit_compile)


def _compiled(step: Callable[[Any], Any]) -> Callable[[Any], Any]:
    import torch

    return torch.compile(step, dynamic=False)


def _compiled_without_gradients(step: Callable[[Any], Any]) -> Callable[[Any], Any]:
    import torch

    return _compiled(torch.no_grad()(lambda data: step(data[0])))
