"""An error of memory as one sentence that says what would fit."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from kerastl.blocks import batch_norm as norms
from kerastl.data.tasks import CLASSIFICATION
from kerastl.errors import OutOfMemoryError, lacks_memory
from kerastl.internals import step_memory
from kerastl.internals.loaders import is_data_loader
from kerastl.model.batch_sizes import (
    StepBytes,
    in_units,
    measured_steps,
    memory_limit,
    precision_of,
)
from kerastl.model.block_memory import measured_blocks, smaller_ways
from kerastl.optimizers.block_optimizer import wrapped

_KERAS_BATCH_SIZE = 32
_MOST_TRIED = 16
"""Images of the largest batch that is tried; for larger ones it is computed."""


@contextlib.contextmanager
def told(
    model: Any, *, x: Any = None, batch_size: int | None = None, trains: bool
) -> Iterator[None]:
    """Say of an error of memory within the block what would fit.

    Args:
        model: The classifier.
        x: Images or batches, as `fit` takes them.
        batch_size: Images of a batch of arrays, or None.
        trains: Whether the block trains; else it predicts.

    Raises:
        OutOfMemoryError: In the place of that error.
    """
    try:
        yield
    except Exception as error:
        if not lacks_memory(error):
            raise
        step_memory.release(error)
        size = _batch_size(x, batch_size)
        raise OutOfMemoryError(what_would_fit(model, size, trains=trains)) from error


def what_would_fit(
    model: Any, batch_size: int | None, *, trains: bool, memory: int | None = None
) -> str:
    """What is to be said where memory did not suffice.

    Args:
        model: The classifier.
        batch_size: Images of a batch; None: not known.
        trains: Whether a step trains; else it predicts.
        memory: Bytes that a step may take. None: by what is free now.
    """
    many = "these batches" if batch_size is None else _batches(batch_size)
    said = (
        f"The memory does not suffice to {'train on' if trains else 'predict'} {many} of "
        f"{model.image_size} x {model.image_size} pixels in {precision_of(model)}"
    )
    try:
        remedy = _remedy(model, batch_size, trains, memory)
    except Exception:  # Whatever it is, it is not what has to be told.
        remedy = None
    return f"{said}; {remedy or 'lower the batch size or the image size'}."


def _remedy(model: Any, batch_size: int | None, trains: bool, memory: int | None) -> str | None:
    if not _can_try(model):
        return "--batch-size auto finds what fits" if trains else None
    found = _largest_below(model, batch_size, memory, trains=trains)
    if found is None:
        return _smaller(model, memory or memory_limit(model)) if trains else None
    size, step = found
    free = "" if step.limit is None else f", {in_units(step.limit)} available"
    means = f"{_batches(size)} would fit ({in_units(step.per_image)} per image{free}): "
    if not trains:
        return f"{means}batch_size={size}, in the shell --batch-size {size}"
    before = wrapped(model.optimizer).gradient_accumulation_steps or 1
    steps = before * math.ceil((batch_size or size) / size)
    python, shell = f"batch_size={size}", f"--batch-size {size}"
    if steps > 1:
        python += f" and an optimizer with gradient_accumulation_steps={steps}"
        shell += f" --accumulate {steps}"
    return f"{means}{python}, in the shell {shell} or --batch-size auto"


def _largest_below(
    model: Any, batch_size: int | None, memory: int | None, *, trains: bool
) -> tuple[int, StepBytes] | None:
    """The largest power of two below a batch size that fits: tried, and computed from there."""
    highest = batch_size or _MOST_TRIED + 1
    sizes = [size for size in (1, 2, 4, 8, _MOST_TRIED) if size < highest]
    if trains:
        sizes = [size for size in sizes if size >= _smallest(model)]
    images, labels = _made_up(model)
    found = sizes and measured_steps(model, images, labels, sizes, memory=memory, trains=trains)
    if not found:
        return None
    size, step = found[-1]
    if size == sizes[-1] and step.limit is not None:
        while 2 * size < highest and step.of(2 * size) <= step.limit:
            size *= 2
    return size, step


def _smaller(model: Any, limit: int | None) -> str | None:
    """What helps where not even the smallest batch fits."""
    if keras.backend.backend() != "torch" or limit is None:
        return None
    memory, count = measured_blocks(model), _smallest(model)
    ways = smaller_ways(model, memory, limit, images=count)
    taken = in_units(memory.of(list(model.trainable_blocks), images=count))
    begun = f"{_batches(count)} take {taken} of {in_units(limit)} available"
    if not ways:
        return f"{begun}, and smaller images would not fit either: take a smaller backbone"
    words = {
        "image_size": "images of {0} x {0} pixels (--image-size {0})",
        "precision": "--precision {0}",
        "freeze_through": "the blocks frozen up to {0} (--freeze-through {0})",
    }
    named = [words[name].format(value) for name, value in ways.items()]
    return f"{begun}; what would fit is {' or '.join(named)}"


def _smallest(model: Any) -> int:
    """Images of the smallest batch that trains: a batch norm needs two to normalize by."""
    return 2 if norms.TRAIN in model.batch_norm.values() else 1


def _can_try(model: Any) -> bool:
    """Whether the variables have the weights: within `fit` JAX takes them out."""
    return keras.backend.backend() == "torch" or model._running_fit is None


def _made_up(model: Any) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels for a trial where those that failed may be gone."""
    shape = (2, model.image_size, model.image_size, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    if model.task == CLASSIFICATION and model.num_classes > 1 and model._allowed_labels:
        return pixels, np.zeros(len(pixels), "int64")
    return pixels, np.zeros((len(pixels), model.num_classes), "float32")


def _batch_size(x: Any, given: int | None) -> int | None:
    if is_data_loader(x):
        size = x.batch_size or getattr(x.batch_sampler, "batch_size", None)
        return size if isinstance(size, int) else None
    if given is not None or x is None:
        return given
    if hasattr(x, "shape"):
        return min(_KERAS_BATCH_SIZE, int(x.shape[0]))
    return None


def _batches(size: int) -> str:
    return "batches of a single image" if size == 1 else f"batches of {size} images"
