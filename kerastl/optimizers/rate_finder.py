"""The learning-rate range test (Smith, 2015): raise the rate step by step and watch the loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastl.blocks.block import select
from kerastl.internals.whole_files import write_whole
from kerastl.optimizers.block_optimizer import rates_by_block, wrapped
from kerastl.optimizers.rates import check_rates
from kerastl.processes.group import alone

_SMOOTHING = 0.9
# A loss that has grown so much has left the range that is of interest.
_DIVERGED = 4.0
_FEWEST_STEPS = 5


@dataclass(frozen=True)
class RateRange:
    """What the range test found.

    Attributes:
        blocks: The blocks that trained, each with its factor on the rate.
        rates: Rate of each step, `(steps,)`; fewer than asked for where the
            loss diverged.
        losses: Loss of each step's batch before the step, `(steps,)`.
    """

    blocks: Mapping[str, float]
    rates: np.ndarray
    losses: np.ndarray

    @property
    def smoothed(self) -> np.ndarray:
        """The losses as an exponential moving average, `(steps,)`."""
        return _smoothed(self.losses)

    @property
    def suggestion(self) -> float:
        """The rate at which the smoothed loss falls fastest, per factor of the rate.

        Raises:
            ValueError: If it never falls.
        """
        smooth = self.smoothed
        lowest = int(smooth.argmin())
        slopes = np.gradient(smooth, np.log(self.rates))[: lowest + 1]
        if lowest == 0 or slopes.min() >= 0:
            raise ValueError(
                f"The loss falls at no rate from {self.rates[0]:.3g} to {self.rates[-1]:.3g}. "
                "Try another range, more steps or larger batches."
            )
        return float(self.rates[slopes.argmin()])

    def save_picture(self, path: str | Path) -> None:
        """Draw the loss over the rate, with the suggestion, into a picture.

        Args:
            path: Where to; the ending says which format, PNG without one.
        """
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        axes.plot(self.rates, self.losses, color="0.8", label="loss of each batch")
        axes.plot(self.rates, self.smoothed, label="smoothed")
        axes.axvline(self.suggestion, linestyle="--", color="C1", label="suggestion")
        axes.set(xscale="log", xlabel="learning rate", ylabel="loss")
        first, *others = self.blocks
        names = f"{first} to {others[-1]}" if others else first
        axes.set_title(f"{names}: {self.suggestion:.2g}")
        axes.legend()
        file = Path(path)
        write_whole(file if file.suffix else file.with_suffix(".png"), figure.savefig)


def find_learning_rate(
    model: Any,
    x: Any,
    y: Any = None,
    *,
    blocks: Sequence[str] | Mapping[str, float] | None = None,
    lowest: float = 1e-6,
    highest: float = 1.0,
    steps: int = 100,
) -> RateRange:
    """Train a little at ever higher rates, then put everything back.

    Weights, moving statistics, seeds and the optimizer are afterwards what
    they were, bit for bit.

    Args:
        model: A compiled classifier.
        x: Images, `(images, height, width, 3)`, or batches `(images, labels)`.
        y: Labels, for an array of images; batches of 32 are drawn.
        blocks: Which blocks train, and the factor of each on the rate; the
            others stay as they are. None: all that are not frozen, alike.
        lowest: Rate of the first step.
        highest: Rate of the last step.
        steps: Most steps; fewer where the loss diverges.

    Raises:
        UnknownNameError: If a block does not exist.
        ValueError: If a block is frozen, or an argument is out of range.
    """
    if not 0 < lowest < highest:
        raise ValueError(
            f"`lowest` must be above 0 and below `highest`. Received: {lowest} and {highest}."
        )
    if steps < _FEWEST_STEPS:
        raise ValueError(f"`steps` must be {_FEWEST_STEPS} or more. Received: steps={steps}.")
    check_rates(model)
    factors = _factors(model, blocks)
    rates = lowest * (highest / lowest) ** (np.arange(steps) / (steps - 1))
    # Of several processes each does it all: none has a part of the batches.
    with alone(), put_back_afterwards(model):
        _use_optimizer(model, factors, lowest, highest, steps)
        losses = _losses(model, _batches(x, y), steps)
    return RateRange(factors, rates[: len(losses)], np.array(losses))


def _factors(model: Any, blocks: Sequence[str] | Mapping[str, float] | None) -> dict[str, float]:
    if blocks is None:
        blocks = model.trainable_blocks
    factors = dict(blocks) if isinstance(blocks, Mapping) else dict.fromkeys(blocks, 1.0)
    chosen = select(model.block_names, tuple(factors))
    frozen = [name for name in chosen if name not in model.trainable_blocks]
    if frozen:
        raise ValueError(
            f"`blocks` must name blocks that train. Received: {', '.join(frozen)}, which "
            f"{'is' if len(frozen) == 1 else 'are'} frozen. Unfreeze, or leave out."
        )
    return factors


@contextmanager
def put_back_afterwards(model: Any) -> Iterator[None]:
    """Give a model its weights, statistics, seeds and optimizer back after the block."""
    import torch

    optimizer = getattr(model, "optimizer", None)
    before = [keras.ops.convert_to_numpy(variable.value).copy() for variable in model.variables]
    try:
        with torch.random.fork_rng():
            yield
    finally:
        for variable, value in zip(model.variables, before, strict=True):
            variable.assign(value)
        model.optimizer, model.train_function = optimizer, None
        model.reset_metrics()


def _use_optimizer(
    model: Any, factors: Mapping[str, float], lowest: float, highest: float, steps: int
) -> None:
    """A new optimizer of the same kind, whose rates rise."""
    rates: dict[str, Any] = dict.fromkeys(model.trainable_blocks, 0.0)
    for block, factor in factors.items():
        rates[block] = keras.optimizers.schedules.ExponentialDecay(
            lowest * factor, decay_steps=steps - 1, decay_rate=highest / lowest
        )
    made = rates_by_block(model.optimizer)
    wrapped(made).bind(model.variables_by_block)
    wrapped(made).set_learning_rates(rates)
    model.optimizer, model.train_function = made, None


def _losses(model: Any, batches: Iterator[Any], steps: int) -> list[float]:
    losses: list[float] = []
    for _ in range(steps):
        model.reset_metrics()  # or the loss would be the mean of all steps so far
        images, labels, *weights = next(batches)
        logs = model.train_on_batch(images, labels, *weights, return_dict=True)
        loss = float(logs["loss"])
        if not np.isfinite(loss):
            break
        losses.append(loss)
        smooth = _smoothed(losses)
        if len(losses) >= _FEWEST_STEPS and smooth[-1] > _DIVERGED * smooth.min():
            break
    if len(losses) < _FEWEST_STEPS:
        raise ValueError(
            f"The loss diverged after {len(losses)} steps. Start from a lower rate (`lowest`)."
        )
    return losses


def _smoothed(losses: Sequence[float] | np.ndarray) -> np.ndarray:
    average, smooth = 0.0, []
    for step, loss in enumerate(losses, 1):
        average = _SMOOTHING * average + (1 - _SMOOTHING) * loss
        smooth.append(average / (1 - _SMOOTHING**step))
    return np.array(smooth)


def _batches(x: Any, y: Any, batch_size: int = 32) -> Iterator[Any]:
    """Batches without end."""
    while True:
        if y is None:
            yield from x
            continue
        order = np.random.default_rng(0).permutation(len(x))
        for start in range(0, len(order), batch_size):
            chosen = np.sort(order[start : start + batch_size])
            yield x[chosen], y[chosen]
