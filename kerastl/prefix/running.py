"""The frozen prefix of a running `fit`, and what watches that it is still the same."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from kerastl.prefix.boundary import Boundary
from kerastl.prefix.features import BoundaryFeatures
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
        cache: What the model keeps between two calls of `fit`; cleared where
            weights have changed.

    Attributes:
        boundary: Where the prefix ends.
        function: What computes it.
        features: What is kept of each data source.
    """

    def __init__(self, model: Any, boundary: Boundary, cache: Any) -> None:
        self.boundary = boundary
        self.function: PrefixFunction = prefix_function(model, boundary)
        self.features: list[BoundaryFeatures] = []
        self._model = model
        self._cache = cache
        self._layers = [model.get_layer(name) for name in boundary.blocks]
        self._variables = variables_before(model, boundary)
        self._stamp = weights_stamp(self._variables)
        self._sums = weights_sums(self._variables)
        self._is_on = True

    def is_on(self) -> bool:
        """Whether every block before the boundary is still frozen; once no, always no.

        On JAX and TensorFlow a compiled step keeps the blocks that it was compiled with.
        """
        on_torch = keras.backend.backend() == "torch"
        if self._is_on and on_torch and any(layer.trainable for layer in self._layers):
            self.stop()
        return self._is_on

    def stop(self) -> None:
        """Go on with the images themselves: the set of frozen blocks has changed."""
        self._is_on = False
        for features in self.features:
            features.is_on = False

    def refresh(self, *, thoroughly: bool = False) -> None:
        """Drop what was computed with weights, or for a set of blocks, no longer there.

        Args:
            thoroughly: Look at the weights' norms too, for changes that torch does not count.
        """
        if not self.is_on():
            return
        stamp = weights_stamp(self._variables)
        sums = weights_sums(self._variables) if thoroughly else self._sums
        if stamp == self._stamp and sums == self._sums:
            return
        self._stamp, self._sums = stamp, weights_sums(self._variables)
        self._cache.clear()
        self.function = prefix_function(self._model, self.boundary)
        for features in self.features:
            features.restart(self.function)


def takes_apart(images: Any, prefix: RunningPrefix | None, *, jit_compile: bool) -> bool:
    """Whether a running `fit` computes the frozen prefix of these images outside the graph."""
    return (
        prefix is not None
        and prefix.is_on()
        and keras.backend.backend() == "torch"
        and not jit_compile
        and not getattr(images, "is_meta", False)
        and not getattr(images, "requires_grad", False)  # a callback may ask for their gradients
    )


class WatchPrefix(keras.callbacks.Callback):
    """Turns the views, and looks at each epoch's start for weights that have changed.

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
        for features in self._prefix.features:
            features.view = epoch % features.views
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
