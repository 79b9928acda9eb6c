"""Schedules that Keras does not have. Kept apart: they import Keras."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerastl")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """See `kerastl.schedules.one_cycle`."""

    def __init__(
        self,
        peak: float,
        total_steps: int,
        *,
        warmup_share: float = 0.3,
        start_factor: float = 25.0,
        final_factor: float = 1e4,
    ) -> None:
        super().__init__()
        if not 0 < warmup_share < 1:
            raise ValueError(
                f"`warmup_share` must be in (0, 1). Received: warmup_share={warmup_share}."
            )
        if total_steps < 1 or start_factor <= 0 or final_factor <= 0:
            raise ValueError(
                "`total_steps`, `start_factor` and `final_factor` must be positive. Received: "
                f"total_steps={total_steps}, start_factor={start_factor}, "
                f"final_factor={final_factor}."
            )
        self.peak = peak
        self.total_steps = total_steps
        self.warmup_share = warmup_share
        self.start_factor = start_factor
        self.final_factor = final_factor

    def __call__(self, step: Any) -> Any:
        step = ops.minimum(ops.cast(step, "float32"), self.total_steps - 1)
        turn = self.warmup_share * self.total_steps - 1
        first = self.peak / self.start_factor
        last = first / self.final_factor
        rising = _cosine(first, self.peak, step / max(turn, 1e-6))
        falling_steps = max(self.total_steps - 1 - turn, 1e-6)
        falling = _cosine(self.peak, last, (step - turn) / falling_steps)
        return ops.where(step <= turn, rising, falling)

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup_share": self.warmup_share,
            "start_factor": self.start_factor,
            "final_factor": self.final_factor,
        }


@keras.saving.register_keras_serializable(package="kerastl")
class Scaled(keras.optimizers.schedules.LearningRateSchedule):
    """Another schedule, multiplied by a constant."""

    def __init__(self, schedule: Any, factor: float) -> None:
        super().__init__()
        self.schedule = schedule
        self.factor = factor

    def __call__(self, step: Any) -> Any:
        return self.schedule(step) * self.factor

    def get_config(self) -> dict[str, Any]:
        return {
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "factor": self.factor,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Scaled:
        return cls(keras.saving.deserialize_keras_object(config["schedule"]), config["factor"])


def _cosine(start: float, end: float, share: Any) -> Any:
    return end + (start - end) / 2 * (1 + ops.cos(math.pi * share))
