"""When a model looks at its images: at arrays before, at batches as the first one passes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import GeneratorType
from typing import Any

import keras

from kerastl.internals.first_batches import sees_batches
from kerastl.model import pixels
from kerastl.prefix.own_steps import own_steps
from kerastl.prefix.sources import array_source, single

# Whoever writes one of these may do anything with the images before the model has them.
_OWN = {
    "train": ("train_step", "make_train_function"),
    "test": ("test_step", "make_test_function"),
    "predict": ("predict_step", "make_predict_function"),
}
_CALLS = ("__call__", "call", "stateless_call")


def at_training(model: Any, x: Any, validation: Any) -> tuple[Any, Any]:
    """Look at the images of `fit` and of its validation data, now or as they come.

    Args:
        model: The classifier.
        x: First argument of `fit`.
        validation: Its `validation_data`.

    Returns:
        Both, for use in their place.
    """
    x = at(model, "train", x)
    if isinstance(validation, tuple | list):
        at(model, "test", validation[0], argument="validation_data")
    elif validation is not None:
        validation = at(model, "test", validation, argument="validation_data")
    return x, validation


def at(model: Any, kind: str, x: Any, *, argument: str = "x") -> Any:
    """Look at some of the images in an array, or else at the first batch.

    Args:
        model: The classifier.
        kind: "train", "test" or "predict".
        x: What the method was given.
        argument: What it is called in an error.

    Returns:
        `x`, or a generator in its place that gives the same.
    """
    model.see_first(kind, None)
    if not model.checks_pixels or own_steps(model, (*_OWN[kind], *_CALLS)):
        return x
    if _is_array(x):
        check(model, single(x), argument)
    elif sees_batches():
        model.see_first(kind, lambda batch: _at_batch(model, batch, argument))
    else:
        batch, x = _first_batch(x)
        if batch is not None:
            _at_batch(model, batch, argument)
    return x


def at_arrays(model: Any, x: Any) -> None:
    """Look at some of the images in an array; at nothing else."""
    if _is_array(x):
        check(model, single(x), "x")


def check(model: Any, images: Any, argument: str) -> None:
    """Refuse images that the model cannot take; see `check_pixels`."""
    if not model.checks_pixels or own_steps(model, _CALLS):
        return
    pixels.check_pixels(
        images,
        argument=argument,
        image_shape=model.inputs[0].shape[1:],
        preprocessing=model.preprocessing,
        spec=str(model.backbone_spec),
    )


def ends(model: Any) -> None:
    """Look at no further batch of this `fit`."""
    for kind in _OWN:
        model.see_first(kind, None)


def _is_array(x: Any) -> bool:
    images = single(x)
    is_tensor = array_source(images) is not None or keras.ops.is_tensor(images)
    return is_tensor or (hasattr(images, "__array__") and hasattr(images, "shape"))


def _at_batch(model: Any, batch: Any, argument: str) -> None:
    images = pixels.images_of(batch)
    # What is cached of the frozen blocks has other shapes, and was looked at before.
    is_cached = isinstance(batch, tuple) and isinstance(batch[0], dict)
    if images is not None and len(images.shape) in (3, 4) and not is_cached:
        check(model, images, argument)


def _first_batch(x: Any) -> tuple[Any, Any]:
    """The first batch on TensorFlow, and what gives all of them."""
    if isinstance(x, keras.utils.PyDataset):
        return x[0], x
    if isinstance(x, GeneratorType):
        first = next(x, None)
        return first, x if first is None else _again(first, x)
    if isinstance(x, Iterable) and not isinstance(x, Iterator | dict):
        return next(iter(x), None), x
    return None, x


def _again(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest
