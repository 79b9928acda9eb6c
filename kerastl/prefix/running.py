"""The frozen prefix of a running `fit`, and callbacks that notice changed weights."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from kerastl.prefix.boundary import Boundary
from kerastl.prefix.functions import (
    PrefixFunction,
    prefix_function,
    variables_before,
    weights_stamp,
    weights_sums,
)


class RunningPrefix:
    """The frozen prefix of a running `fit`.

    Args:
        model: The classifier.
        boundary: Where the prefix ends.

    Attributes:
        boundary: Where the prefix ends.
        function: What computes it.
        epoch: Number of the epoch that is under way.
        changes: How often weights have changed since `fit` began.
        look_at: Takes images, and refuses what the model cannot take.
    """

    def __init__(self, model: Any, boundary: Boundary) -> None:
        self.boundary = boundary
        self.function: PrefixFunction = prefix_function(model, boundary)
        self.epoch = 0
        self.changes = 0
        self._model = model
        self.look_at = model.check_pixels
        self._layers = [model.get_layer(name) for name in boundary.blocks]
        self._variables = variables_before(model, boundary)
        self._stamp = weights_stamp(self._variables)
        self._sums = weights_sums(self._variables)
        self._was_stopped = False

    @property
    def is_on(self) -> bool:
        """Whether every block before the boundary is still frozen; once no, always no.

        On JAX and TensorFlow a compiled step keeps the blocks that it was compiled with.
        """
        on_torch = keras.backend.backend() == "torch"
        if on_torch and any(layer.trainable for layer in self._layers):
            self.stop()
        return not self._was_stopped

    def stop(self) -> None:
        """Go on with the images themselves: the set of frozen blocks has changed."""
        self._was_stopped = True

    def refresh(self, *, thoroughly: bool = False) -> None:
        """Count a change of the weights, and compute with the new ones from now on.

        Args:
            thoroughly: Look at the weights' norms too, for changes that torch does not count.
        """
        if not self.is_on:
            return
        stamp = weights_stamp(self._variables)
        sums = weights_sums(self._variables) if thoroughly else self._sums
        if stamp == self._stamp and sums == self._sums:
            return
        self._stamp, self._sums = stamp, weights_sums(self._variables)
        self.function = prefix_function(self._model, self.boundary)
        self.changes += 1


class WatchPrefix(keras.callbacks.Callback):
    """Tells a prefix each epoch's number, and has it look for weights that have changed.

    It comes after the user's callbacks, which may have changed them. On torch
    every batch looks too, which costs little there; JAX takes no new weights
    within an epoch.

    Args:
        prefix: The prefix of this `fit`.
    """

    def __init__(self, prefix: RunningPrefix) -> None:
        super().__init__()
        self._prefix = prefix

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._prefix.epoch = epoch
        self._prefix.refresh(thoroughly=True)


class WarnOfLateChanges(keras.callbacks.Callback):
    """Says on TensorFlow where weights changed amid an epoch, too late for some of its steps.

    It comes before the user's callbacks, whose changes between two epochs count in time.

    Args:
        variables: The weights before the boundary.
    """

    def __init__(self, variables: Sequence[Any]) -> None:
        super().__init__()
        self._variables = variables
        self._stamp: Any = None

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        if batch == 0:
            self._stamp = weights_stamp(self._variables)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if weights_stamp(self._variables) != self._stamp:
            warnings.warn(
                "Weights of frozen blocks changed amid an epoch, whose later steps may have used "
                "the cache of earlier weights. Change them between two epochs, or say cache=False.",
                stacklevel=2,
            )
