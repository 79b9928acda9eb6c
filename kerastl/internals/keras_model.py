"""What a model does before Keras runs it: checks that have no public name in Keras 3.15."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import keras


def check_compiled(model: keras.Model, method: str) -> None:
    """Refuse a model that is not compiled, in Keras's own words.

    Raises:
        ValueError: If so.
    """
    model._assert_compile_called(method)


@contextlib.contextmanager
def unbuilt_afterwards(model: keras.Model) -> Iterator[None]:
    """Leave it to the next `fit` to build loss and metrics, where that is yet to be done.

    Keras 3.15 draws a batch for that, and with it random numbers: which it does is told by
    `built` of `_compile_metrics` and `_compile_loss`.
    """
    parts = [getattr(model, name, None) for name in ("_compile_metrics", "_compile_loss")]
    unbuilt = [part for part in parts if part is not None and not part.built]
    try:
        yield
    finally:
        for part in unbuilt:
            part.built = False


class TakesLayerOutputs(keras.Model):
    """A Keras model whose input may also be a dict of a layer's name to that layer's output.

    Keras compares the rank of an input with that of the images. A dict of the
    input's own name is the images, as in Keras.
    """

    def _assert_input_compatibility(self, *args: Any) -> None:
        (name,) = (each.name for each in self.inputs)
        if not isinstance(args[0], Mapping) or name in args[0]:
            super()._assert_input_compatibility(*args)
