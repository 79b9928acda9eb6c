"""The largest batch whose training step fits into memory, found by trying.

Batches of one, two, four and so on images are trained on, each only where what
the one before has taken says that it will fit: main memory that runs out ends
the process without a word. A step is tried whole: forward, backward, and an
update with the optimizer's state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kerastl.blocks import batch_norm as norms
from kerastl.data.named_labels import by_the_models_names
from kerastl.data.ordering import SeededOrder
from kerastl.errors import OutOfMemoryError, lacks_memory
from kerastl.internals import step_memory
from kerastl.internals.keras_model import check_compiled, unbuilt_afterwards
from kerastl.optimizers.block_optimizer import rates_by_block, wrapped
from kerastl.optimizers.rate_finder import put_back_afterwards
from kerastl.optimizers.rates import check_rates
from kerastl.prefix.memory import available_memory
from kerastl.processes.group import Doing, alone, start

SHARE_OF_MAIN_MEMORY = 0.7
"""Share of the memory that is free which a step may take; cached features may take a quarter."""

SHARE_OF_DEVICE = 0.9
"""Likewise of a device's own memory, which allocators never fill to the last byte."""


@dataclass(frozen=True)
class StepBytes:
    """What a step takes, as measured.

    Attributes:
        fixed: Bytes, however large the batch: gradients and the optimizer's state.
        per_image: Bytes of each image.
        limit: Bytes that a step may take; None: not known.
    """

    fixed: int
    per_image: int
    limit: int | None

    def of(self, images: int) -> int:
        """Bytes of a step with so many images."""
        return self.fixed + images * self.per_image


@dataclass(frozen=True)
class BatchSize:
    """What fits.

    Attributes:
        size: Images per step.
        accumulate: Steps whose gradients make one update, so that an update is of as many
            images as were asked for; for `gradient_accumulation_steps` of a Keras optimizer.
        step: What a step takes.
        renewed: Blocks whose batch norms see `size` images at a time.
    """

    size: int
    accumulate: int
    step: StepBytes
    renewed: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """What was found, in one line."""
        of = "" if self.step.limit is None else f" of {in_units(self.step.limit)} available"
        taken = in_units(self.step.of(self.size))
        text = f"Batch size {self.size}: a step takes {taken}{of}"
        if self.accumulate == 1:
            return text
        text += f"; the gradients of {self.accumulate} batches make one update"
        if not self.renewed:
            return text
        return (
            f"{text}, but batch norms of {', '.join(self.renewed)} see {self.size} images at a "
            "time (--batch-norm frozen makes it as one batch would be)"
        )


def largest_batch_size(
    model: Any, x: Any, y: Any = None, *, most: int = 32, memory: int | None = None
) -> BatchSize:
    """The largest batch size whose training step fits into memory.

    Tries powers of two that divide `most`, and `most` itself. Weights, moving statistics, seeds
    and the optimizer are afterwards what they were, bit for bit.

    Args:
        model: A compiled classifier, its blocks frozen as they will be.
        x: Images, `(images, height, width, 3)`, or batches `(images, labels)`; a few are used.
        y: Labels, for an array of images.
        most: Images of an update, and so the most per step.
        memory: Bytes that a step may take beyond what is held now. None: seven tenths of
            the main memory that is available, or nine tenths of what the device has free.

    Returns:
        The size, and over how many steps to accumulate gradients so that an
        update is of `most` images, or of all where they are fewer.

    Raises:
        OutOfMemoryError: If not even the smallest batch fits.
        ValueError: If the model is not compiled, or `most` is below 1.

    Example:

        found = kerastl.largest_batch_size(model, images, labels, most=64)
        optimizer = keras.optimizers.Adam(
            gradient_accumulation_steps=found.accumulate if found.accumulate > 1 else None
        )
        model.compile(optimizer, learning_rate=1e-4)
        model.fit(images, labels, batch_size=found.size)
    """
    check_compiled(model, "largest_batch_size")
    check_rates(model)
    if most < 1:
        raise ValueError(f"`most` must be 1 or more. Received: most={most}.")
    images, labels, count = _some_images(model, by_the_models_names(x, model, "x"), y, most)
    return fitting(model, images, labels, most=most, num_images=count, memory=memory)


def fitting(
    model: Any,
    images: Any,
    labels: Any,
    *,
    most: int,
    num_images: int,
    memory: int | None = None,
    trains: bool = True,
) -> BatchSize:
    """As `largest_batch_size`, with a step on images that are at hand.

    Args:
        model: A compiled classifier.
        images: Some, `(images, height, width, 3)`; a batch of more has them several times.
        labels: Of each.
        most: Images of an update.
        num_images: Of the whole set: a batch has no more.
        memory: As in `largest_batch_size`.
        trains: Whether a step trains; else it predicts.
    """
    renewed = tuple(name for name, mode in model.batch_norm.items() if mode == norms.TRAIN)
    # A batch norm has nothing to normalize by in a batch of one.
    smallest = 2 if renewed and trains else 1
    powers = (2**power for power in range(most.bit_length()))
    sizes = [size for size in powers if smallest <= size < most and most % size == 0]
    tried = sorted({min(size, num_images) for size in (*sizes, most)})
    found = measured_steps(
        model, images, labels, tried, memory=memory, trains=trains, whole=tried[-1]
    )
    if trains and (group := start()) is not None:
        # All take what fits for the one that has the least memory.
        found = found[: min(row[0] for row in group.meet(Doing.SHARING, len(found)))]
    if not found:
        raise OutOfMemoryError(_nothing_fits(model, tried[0], memory or memory_limit(model)))
    # A batch that is larger than the set has the set.
    count, step = found[-1]
    size = count if count < tried[-1] else most
    steps = math.ceil(min(most, num_images) / size) if trains else 1
    return BatchSize(size, steps, step, renewed if trains else ())


def measured_steps(
    model: Any,
    images: Any,
    labels: Any,
    sizes: Sequence[int],
    *,
    memory: int | None = None,
    trains: bool = True,
    whole: int | None = None,
) -> list[tuple[int, StepBytes]]:
    """Try one size after the other, and stop before the first that does not fit.

    Nothing of it is left in the model.

    Args:
        model: A compiled classifier; to predict, any.
        images: Some images.
        labels: Of each.
        sizes: Images of a batch, ascending.
        memory: Bytes that the tensors of a step may take. None: by what is free.
        trains: Whether a step trains; else it predicts.
        whole: The size whose step is an update by itself; the others are one of several, and
            accumulate gradients.

    Returns:
        Each size that fits, and what was measured.
    """
    found: list[tuple[int, StepBytes]] = []
    # Of several processes each tries for itself.
    with alone(), _on_trial(model, trains=trains) as step:
        try:
            if memory is None:
                # What is loaded at the first step is not what a batch takes.
                step(*_batch(images, labels, sizes[0]), accumulates=sizes[0] != whole)
            step_memory.release()
            before = None if memory is not None else step_memory.process_bytes()
            limit = memory if memory is not None else memory_limit(model)
            for size in sizes:
                less = step_memory.bytes_of(model.trainable_variables) if size == whole else 0
                if found and limit is not None and found[-1][1].of(size) - less > limit:
                    break
                with step_memory.peak_of(model.variables[0], before=before) as peak:
                    step(*_batch(images, labels, size), accumulates=size != whole)
                if limit is not None and peak.bytes > limit:
                    break
                per_image = math.ceil(max(peak.bytes - peak.kept, 0) / size)
                found.append((size, StepBytes(peak.kept, per_image, limit)))
                step_memory.drop_gradients(model)
        except Exception as error:
            if not lacks_memory(error):
                raise
            step_memory.release(error)
    return found


def _batch(images: Any, labels: Any, size: int) -> tuple[Any, Any]:
    rows = np.arange(size) % len(images)
    return images[rows], labels[rows]


@contextmanager
def _on_trial(model: Any, *, trains: bool) -> Iterator[Callable[..., None]]:
    """A step of a model that leaves no trace after the block."""
    optimizer, compiles = getattr(model, "optimizer", None), model.jit_compile
    on_torch = keras.backend.backend() == "torch"

    def step(images: Any, labels: Any, *, accumulates: bool) -> None:
        if not trains:
            keras.Model.predict_on_batch(model, images)
            return
        _use_new_optimizer(model, optimizer, accumulates=accumulates)
        # The first makes the optimizer's state, the second has it all along.
        for _ in range(2):
            model.train_on_batch(images, labels)

    step_memory.release()
    if on_torch:
        model.jit_compile = False  # a step that is not compiled needs no less
    try:
        with unbuilt_afterwards(model), put_back_afterwards(model):
            yield step
    finally:
        if on_torch:
            model.jit_compile = compiles
        model.predict_function = None
        step_memory.drop_gradients(model)
        step_memory.release()


def memory_limit(model: Any) -> int | None:
    """Bytes that a step may take now, or None where the device does not say."""
    weight = model.variables[0]
    if step_memory.is_in_main_memory(weight):
        return int(available_memory() * SHARE_OF_MAIN_MEMORY)
    free = step_memory.free_bytes(weight)
    return None if free is None else int(free * SHARE_OF_DEVICE)


def in_units(count: int) -> str:
    """Bytes as people read them.

    Example:

    >>> in_units(3_200_000), in_units(41_500_000_000)
    ('3.2 MB', '41.5 GB')
    """
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _use_new_optimizer(model: Any, optimizer: Any, *, accumulates: bool) -> None:
    """An optimizer of the same kind that has no state yet, and rates of 0."""
    made = rates_by_block(optimizer)
    inner = wrapped(made)
    inner.bind(model.variables_by_block)
    inner.set_learning_rates(dict.fromkeys(model.trainable_blocks, 0.0))
    if accumulates or inner.gradient_accumulation_steps:
        inner.gradient_accumulation_steps = 2
    model.optimizer, model.train_function = made, None


def _some_images(model: Any, x: Any, y: Any, most: int) -> tuple[Any, Any, int]:
    """Images and labels for a trial, and how many there are in all."""
    if y is not None:
        return x[:most], y[:most], len(x)
    sampler = getattr(getattr(x, "batch_sampler", None), "sampler", None)
    epoch = getattr(sampler, "epoch", 0)
    with put_back_afterwards(model):  # torch's loaders draw a seed
        images, labels, *_ = next(iter(x))
    if isinstance(sampler, SeededOrder):
        sampler.set_epoch(epoch)
    dataset: Any = getattr(x, "dataset", None)
    count = len(dataset) if hasattr(dataset, "__len__") else most
    as_array = keras.ops.convert_to_numpy
    return as_array(images), as_array(labels), count


def _nothing_fits(model: Any, size: int, limit: int | None) -> str:
    of = "" if limit is None else f" {in_units(limit)} of"
    return (
        f"`batch_size` must leave a step room in{of} memory. Received: {size} "
        f"image{'s' if size > 1 else ''} of {model.image_size} x {model.image_size} pixels in "
        f"{precision_of(model)}, for which it does not suffice."
    )


def precision_of(model: Any) -> str:
    """The number format that a model computes in, as `--precision` names it."""
    return str(model.get_layer(model.block_names[0]).dtype_policy.name)
