"""The learning rate of each block, as an optimizer keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import keras
import ml_dtypes
import numpy as np
from keras import ops

from kerastl.optimizers.schedule_classes import Scaled

_Schedule = keras.optimizers.schedules.LearningRateSchedule


@dataclass(frozen=True)
class Rate:
    """The rate of one block.

    Attributes:
        factor: The rate in units of `LearningRates.highest`; of a schedule, what
            it is multiplied by.
        schedule: The block's own schedule. None: the block follows the
            optimizer's `learning_rate`.
        began: Batches that the optimizer had seen when the schedule was set.
    """

    factor: float = 1.0
    schedule: Any = None
    began: int = 0


class LearningRates:
    """The rates of all blocks: each a factor on the optimizer's `learning_rate`.

    Floats are factors on the highest of them, which is what `learning_rate`
    is; a block's own schedule is multiplied by what `learning_rate` has become
    of that. So whatever is set to `learning_rate`, 0 too, scales all blocks
    alike and can be taken back.

    Attributes:
        by_block: The rate of each block that has one.
        highest: The rate of a block of factor 1 when rates were last set.
        began: Batches that the optimizer had seen when a schedule for all
            blocks was set.
    """

    def __init__(self) -> None:
        self.by_block: dict[str, Rate] = {}
        self.highest = 1.0
        self.began = 0

    def set(self, optimizer: Any, given: Mapping[str, Any], *, now: int) -> None:
        """See `RateByBlock.set_learning_rates`; `now` is the number of batches so far."""
        for block, rate in given.items():
            _check(block, rate)
        multiples = _one_schedule(given)
        if multiples is not None and not set(self.by_block) - set(given):
            schedule, by_block = multiples
            self.by_block = {}
            optimizer.learning_rate = schedule
            self.began, self.highest = now, 1.0
            self.by_block = {block: Rate(factor) for block, factor in by_block.items()}
            return
        scale = self._take_out(optimizer)
        is_off = scale == 0  # as in a warm-up's first epoch: what is set now waits for its end
        scale = scale or 1.0
        kept = {block: rate for block, rate in self.by_block.items() if block not in given}
        floats = {b: r.factor * self.highest * scale for b, r in kept.items() if not r.schedule}
        schedules = {b: replace(r, factor=r.factor * scale) for b, r in kept.items() if r.schedule}
        for block, rate in given.items():
            if isinstance(rate, _Schedule):
                schedules[block] = Rate(1.0, rate, now)
            else:
                floats[block] = float(rate)
        highest = max(floats.values(), default=0.0)
        is_off = is_off or (highest == 0 and not schedules)
        self.highest = highest or 1.0
        # Where all are 0, all follow what is set later.
        factors = {b: f / highest if highest else float(is_off) for b, f in floats.items()}
        every = {**{block: Rate(factor) for block, factor in factors.items()}, **schedules}
        self.by_block = {block: every[block] for block in (*kept, *given)}
        optimizer.own_rate.assign(0.0 if is_off else self.highest)

    def are_all_schedules(self) -> bool:
        """Whether every block has a schedule of its own."""
        return bool(self.by_block) and all(rate.schedule for rate in self.by_block.values())

    def follow(self, optimizer: Any, blocks: Any) -> None:
        """Let every block follow the optimizer's own rate, as in Keras."""
        self.by_block = dict.fromkeys(blocks, Rate())
        rate = optimizer.own_rate
        self.highest = _number(rate) or 1.0 if isinstance(rate, keras.Variable) else 1.0

    def config(self) -> dict[str, Any]:
        """What a file says of the rates."""
        pack = keras.saving.serialize_keras_object
        blocks = {
            block: {
                "factor": r.factor,
                "schedule": r.schedule and pack(r.schedule),
                "began": r.began,
            }
            for block, r in self.by_block.items()
        }
        return {"blocks": blocks, "highest": self.highest, "began": self.began}

    def restore(self, config: Mapping[str, Any]) -> None:
        """Take what `config` gave."""
        unpack = keras.saving.deserialize_keras_object
        self.by_block = {
            block: Rate(r["factor"], r["schedule"] and unpack(r["schedule"]), r["began"])
            for block, r in config["blocks"].items()
        }
        self.highest, self.began = config["highest"], config["began"]

    def _take_out(self, optimizer: Any) -> float:
        """What all rates are scaled by now; a schedule for all becomes each block's own.

        Afterwards `learning_rate` is a variable. A scale of 0 stays in it.
        """
        rate = optimizer.own_rate
        if isinstance(rate, keras.Variable):
            return _number(rate) / _single(self.highest) if self.by_block else 1.0
        schedule = rate if isinstance(rate, _Schedule) else _Called(rate)
        self.by_block = {
            block: each if each.schedule else Rate(each.factor, schedule, self.began)
            for block, each in self.by_block.items()
        }
        self.began = 0
        optimizer.replace_rate(self.highest)
        return 1.0

    def value(self, optimizer: Any, block: str, *, back: int = 0, since: int | None = None) -> Any:
        """The rate of a block: a tensor, or `learning_rate` itself where the two are one.

        Args:
            optimizer: The optimizer.
            block: The block.
            back: Batches before the next one.
            since: Instead: batches after the rate was set.
        """
        rate = self.by_block[block]
        reference = self._at(optimizer, optimizer.own_rate, self.began, back, since)
        if rate.schedule is not None:
            own = self._at(optimizer, rate.schedule, rate.began, back, since)
            scale = ops.convert_to_tensor(reference) / _single(self.highest)
            return own * rate.factor * scale
        if rate.factor == 1.0:
            return reference
        return ops.convert_to_tensor(reference) * rate.factor

    @staticmethod
    def _at(optimizer: Any, rate: Any, began: int, back: int, since: int | None) -> Any:
        if isinstance(rate, keras.Variable):
            return rate
        if not isinstance(rate, _Schedule | _Called):
            return rate()
        if since is not None:
            return rate(since)
        steps = optimizer.batches_seen - began if began else optimizer.batches_seen
        return rate(ops.maximum(steps - back, 0) if back else steps)

    def of(self, block: str) -> Rate:
        """The rate of a block.

        Raises:
            ValueError: If it has none.
        """
        if block not in self.by_block:
            raise ValueError(
                f"Block {block!r} trains but has no learning rate. Give it one with "
                f"model.unfreeze({block!r}, learning_rate=...) or in compile. "
                f"Blocks with a rate: {', '.join(self.by_block)}."
            )
        return self.by_block[block]


@dataclass(frozen=True)
class _Called:
    """A rate that is a function without arguments, in the place of a schedule."""

    function: Any

    def __call__(self, step: Any) -> Any:
        return self.function()


def _one_schedule(given: Mapping[str, Any]) -> tuple[Any, dict[str, float]] | None:
    """The schedule that all rates are multiples of, and the factors."""
    parts = {
        block: (rate.schedule, rate.factor) if isinstance(rate, Scaled) else (rate, 1.0)
        for block, rate in given.items()
    }
    schedules = {id(schedule): schedule for schedule, _ in parts.values()}
    first = next(iter(schedules.values()), None)
    if len(schedules) != 1 or not isinstance(first, _Schedule):
        return None
    return first, {block: factor for block, (_, factor) in parts.items()}


def _check(block: str, rate: Any) -> None:
    if isinstance(rate, _Schedule):
        return
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        raise TypeError(
            "`learning_rate` of a block must be a float or a Keras LearningRateSchedule. "
            f"Received: {block}={rate!r}."
        )
    if not rate >= 0:
        raise ValueError(f"`learning_rate` must not be negative. Received: {block}={rate}.")


def _number(rate: Any) -> float:
    return float(ops.convert_to_numpy(rate))


def _single(rate: float) -> float:
    """A rate as `learning_rate` holds it, so that what was not changed is a factor of exactly 1."""
    # By NumPy: within a compiled step the backend would trace it.
    floatx = keras.config.floatx()
    return float(np.asarray(rate, ml_dtypes.bfloat16 if floatx == "bfloat16" else floatx))
