"""The first batch of each `fit`, `evaluate` or `predict`, as it passes by.

Keras 3.15 has no hook that sees a batch: to look ahead would draw from a
generator, a shuffling buffer or a random number that is then missing. Here
the function of a step is wrapped, which on torch gets a list of batches, and
on JAX the state and an iterator. TensorFlow's iterators cannot be put back.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import keras

Look = Callable[[Any], None]
"""Takes a batch."""


class SeesFirstBatches(keras.Model):
    """A Keras model that shows the next batch of a kind of step to whoever asked for it."""

    train_function: Any
    test_function: Any
    predict_function: Any

    def see_first(self, kind: str, look: Look | None) -> None:
        """Show the next batch of a kind.

        Args:
            kind: "train", "test" or "predict".
            look: Takes the batch; None: whoever asked before does not get it.
        """
        looks: dict[str, Look | None] = self.__dict__.setdefault("looks", {})
        looks[kind] = look

    def make_train_function(self, force: bool = False) -> None:
        """As in Keras."""
        before = self.train_function
        super().make_train_function(force)
        if self.train_function is not before:
            self.train_function = _shown(self, "train", self.train_function)

    def make_test_function(self, force: bool = False) -> None:
        """As in Keras."""
        before = self.test_function
        super().make_test_function(force)
        if self.test_function is not before:
            self.test_function = _shown(self, "test", self.test_function)

    def make_predict_function(self, force: bool = False) -> Any:
        """As in Keras."""
        before = self.predict_function
        made = super().make_predict_function(force)
        if self.predict_function is not before:
            self.predict_function = _shown(self, "predict", self.predict_function)
        return self.predict_function if made is not None else None


_OF_STATE = {
    "train": ("trainable", "non_trainable", "optimizer", "metrics"),
    "test": ("trainable", "non_trainable", "metrics"),
    "predict": ("trainable", "non_trainable"),
}


def _give_back(model: Any, kind: str, state: Any) -> None:
    """Give a model its variables back, which Keras takes out of it for the steps on JAX."""
    names = (f"{name}_variables" for name in _OF_STATE[kind])
    model._jax_state = dict(zip(names, state, strict=True))
    model._jax_state_synced = False
    model.jax_state_sync()
    model._jax_state = None


def sees_batches() -> bool:
    """Whether batches can be seen on this backend."""
    return keras.backend.backend() in ("torch", "jax")


def _shown(model: Any, kind: str, step: Callable[..., Any]) -> Callable[..., Any]:
    if not sees_batches():
        return step

    def on_batches(*arguments: Any) -> Any:
        look = model.__dict__.get("looks", {}).pop(kind, None)
        if look is not None:
            *state, batches = arguments
            if isinstance(batches, list):
                look(batches[0])
            else:
                first = next(batches)
                arguments = (*state, itertools.chain([first], batches))
                try:
                    look(first)
                except Exception:
                    _give_back(model, kind, *state)
                    raise
        return step(*arguments)

    return on_batches
