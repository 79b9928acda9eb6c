"""Learning-rate schedules by name, and one rate per block from one number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kerastl.errors import unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable

_WARMUP_SHARE = 0.1
_FINAL_SHARE = 0.01


@dataclass(frozen=True)
class LayerwiseDecay:
    """A rate per block, worked out when the model's blocks are known.

    Attributes:
        base: Rate of the head, or a schedule of it.
        decay: Factor from each block to the one before it.
    """

    base: Any
    decay: float

    def rates(self, blocks: list[str]) -> dict[str, Any]:
        """Rate of each block, in forward order, the head last.

        The head and the block next to it get `base` and `base * decay`.
        """
        distances = range(len(blocks) - 1, -1, -1)
        return {
            name: scaled(self.base, self.decay**distance)
            for name, distance in zip(blocks, distances, strict=True)
        }


def layerwise_decay(base: Any, decay: float) -> LayerwiseDecay:
    """Give each block its own rate from one number.

    The head trains at `base`; each earlier block multiplies the rate of the
    one after it by `decay` (Howard and Ruder, 2018).

    Args:
        base: Rate of the head per optimizer step, or a Keras schedule.
        decay: Factor in `(0, 1]`.

    Returns:
        A value for `compile(learning_rate=...)`.

    Raises:
        ValueError: If `decay` is outside `(0, 1]`.

    Example:

    >>> layerwise_decay(1.0, 0.5).rates(["stem", "layer1", "head"])
    {'stem': 0.25, 'layer1': 0.5, 'head': 1.0}
    """
    if not 0 < decay <= 1:
        raise ValueError(f"`decay` must be in (0, 1]. Received: decay={decay}.")
    return LayerwiseDecay(base, decay)


def block_rates(base_rate: float, decay: float, *, num_blocks: int) -> list[float]:
    """Learning rate of each block, input side first.

    The block next to the head trains at `base_rate`; each earlier block
    multiplies the rate of the one after it by `decay`.

    Args:
        base_rate: Rate of the last block, per optimizer step.
        decay: Factor in `(0, 1]`.
        num_blocks: Number of blocks, head excluded.

    Returns:
        `num_blocks` rates, in forward order.

    Raises:
        ValueError: If `decay` is outside `(0, 1]`.

    Example:

    >>> block_rates(1.0, 0.5, num_blocks=3)
    [0.25, 0.5, 1.0]
    """
    names = [str(index) for index in range(num_blocks)]
    return list(layerwise_decay(base_rate, decay).rates(names).values())


def scaled(rate: Any, factor: float) -> Any:
    """A float rate or a schedule, multiplied by a constant."""
    if isinstance(rate, int | float):
        return rate * factor
    from kerastl.optimizers.schedule_classes import Scaled

    return rate if factor == 1 else Scaled(rate, factor)


def warmup_cosine(peak: float, total_steps: int, *, warmup_steps: int | None = None) -> Any:
    """Linear warm-up to `peak`, then a cosine down to zero (Loshchilov and Hutter, 2017).

    Args:
        peak: Highest rate, reached at step `warmup_steps`.
        total_steps: Steps in all; the rate is zero from there on.
        warmup_steps: Steps of the warm-up. None: a tenth of all.

    Returns:
        A `keras.optimizers.schedules.CosineDecay`.

    Raises:
        ValueError: If the warm-up is as long as the whole run.
    """
    import keras

    if warmup_steps is None:
        warmup_steps = math.ceil(total_steps * _WARMUP_SHARE) if total_steps > 1 else 0
    if not 0 <= warmup_steps < total_steps:
        raise ValueError(
            f"`warmup_steps` must be from 0 to less than total_steps={total_steps}. "
            f"Received: warmup_steps={warmup_steps}."
        )
    if warmup_steps == 0:
        return keras.optimizers.schedules.CosineDecay(peak, total_steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0, total_steps - warmup_steps, warmup_target=peak, warmup_steps=warmup_steps
    )


def one_cycle(
    peak: float,
    total_steps: int,
    *,
    warmup_share: float = 0.3,
    start_factor: float = 25.0,
    final_factor: float = 1e4,
) -> Any:
    """One cycle: a cosine up from `peak / start_factor`, then a cosine down (Smith, 2018).

    Args:
        peak: Highest rate.
        total_steps: Steps in all.
        warmup_share: Share of the steps that go up, in `(0, 1)`.
        start_factor: `peak` over the first rate.
        final_factor: First rate over the last.

    Returns:
        A Keras schedule with the values of PyTorch's `OneCycleLR`.

    Raises:
        ValueError: If an argument is out of range.
    """
    from kerastl.optimizers.schedule_classes import OneCycle

    return OneCycle(
        peak,
        total_steps,
        warmup_share=warmup_share,
        start_factor=start_factor,
        final_factor=final_factor,
    )


def _constant(rate: float, total_steps: int) -> Any:
    return rate


def _cosine(rate: float, total_steps: int) -> Any:
    import keras

    return keras.optimizers.schedules.CosineDecay(rate, total_steps)


def _exponential(rate: float, total_steps: int) -> Any:
    import keras

    return keras.optimizers.schedules.ExponentialDecay(rate, total_steps, _FINAL_SHARE)


_MAKERS: dict[str, Callable[[float, int], Any]] = {
    "constant": _constant,
    "cosine": _cosine,
    "warmup-cosine": warmup_cosine,
    "one-cycle": one_cycle,
    "exponential": _exponential,
}
NAMES: tuple[str, ...] = tuple(_MAKERS)


def make(name: str, rate: float, total_steps: int) -> Any:
    """The schedule of this name over a run.

    Args:
        name: One of `NAMES`.
        rate: The highest rate of the run.
        total_steps: Optimizer steps of the whole run.

    Returns:
        A float for "constant", else a Keras schedule.

    Raises:
        UnknownNameError: If there is no such schedule.

    Example:

    >>> make("constant", 0.001, 100)
    0.001
    """
    if name not in _MAKERS:
        raise unknown_name("schedule", name, NAMES, how_to_list=f"Schedules: {', '.join(NAMES)}.")
    return _MAKERS[name](rate, max(total_steps, 1))
