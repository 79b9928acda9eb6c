"""Short fine-tunings from the solved head, judged on the validation images."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from kerastl.blocks.block import HEAD
from kerastl.evaluation.scoring import evaluate
from kerastl.model.head_solving import LabelledRows, solve_rows
from kerastl.optimizers.schedules import warmup_cosine
from kerastl.runs.picking.entries import BATCH_SIZE, BlockRows, Entry
from kerastl.runs.picking.estimates import (
    Judged,
    judged_logits,
    judged_probabilities,
    loss_p_value,
)
from kerastl.runs.picking.results import FineTuning
from kerastl.runs.strategies import SOLVE, Wishes, choose

MOST_STEPS = 200
FEWEST_STEPS = 60
FULL = "full"
PARTIAL = "partial"
# A training step takes about so many times the folded inference of its images, on two cores.
_STEP_OVER_INFERENCE = {FULL: 6.0, PARTIAL: 4.0}


@dataclass(frozen=True)
class Tuned:
    """A fine-tuning, image by image.

    Attributes:
        entry: The backbone at its size.
        scores: What is reported of it.
        judged: Of the validation images.
        solved: Of the same, by the solved head.
    """

    entry: Entry
    scores: FineTuning
    judged: Judged = field(repr=False)
    solved: Judged = field(repr=False)


class SolvedStart:
    """A model with the head solved on the training images: where each fine-tuning starts.

    Args:
        entry: The backbone at its size.
        rows: Of all images.

    Attributes:
        judged: The solved head on the validation images, in their order.
    """

    def __init__(self, entry: Entry, rows: BlockRows) -> None:
        self.entry = entry
        self.model = entry.opened()
        is_training = entry.order.is_training[rows.positions]
        train, rest = rows.where(is_training), rows.where(~is_training)
        count = len(train.labels)
        solve_rows(
            self.model,
            [LabelledRows(train.features, train.labels, np.ones(count), np.arange(count))],
        )
        self._weights = self.model.get_weights()
        dense = self.model.get_layer(HEAD).logits
        kernel, bias = (keras.ops.convert_to_numpy(each) for each in (dense.kernel, dense.bias))
        # As the loader of the validation part has them.
        places = np.argsort(entry.order.numbers[rest.positions])
        logits = (rest.features @ kernel + bias).astype("float64")
        self.judged = judged_logits(logits[places], rest.labels[places])
        self._slowness: dict[str, float] = {}

    def seconds(self, strategy: str, steps: int) -> float:
        """What a fine-tuning of so many steps takes, its validation included."""
        return steps * self._seconds_per_step(strategy) + self._seconds_to_judge

    def steps_within(self, strategy: str, seconds: float) -> int:
        """How many steps fit into a time; at most `MOST_STEPS`."""
        free = max(0.0, seconds - self._seconds_to_judge)
        return min(MOST_STEPS, int(free / self._seconds_per_step(strategy)))

    def tune(self, strategy: str, freeze_through: str | None, steps: int, *, left: float) -> Tuned:
        """Fine-tune for about so many steps, and judge.

        Args:
            strategy: `FULL` or `PARTIAL`.
            freeze_through: The last frozen block of `PARTIAL`.
            steps: Optimizer steps.
            left: Seconds after which it stops, however far it is.
        """
        model, data = self.model, self.entry.data
        start = time.perf_counter()
        model.set_weights(self._weights)
        model.unfreeze()
        if freeze_through is not None:
            model.freeze(through=freeze_through)
        in_epoch = len(data.train)
        epochs = max(1, round(steps / in_epoch))
        planned = steps if in_epoch > steps else epochs * in_epoch
        wishes = Wishes(strategy, freeze_through=freeze_through, solver=SOLVE)
        # As in a run: the counts settle nothing where the strategy is named.
        rates = choose(wishes, model.block_names, images=1, num_classes=1).rates
        schedules = {block: warmup_cosine(rate, planned) for block, rate in rates.items()}
        model.compile(optimizer="adam", learning_rate=schedules)
        watch = _StopLate(left - self._seconds_to_judge)
        model.fit(
            data.train,
            epochs=epochs,
            steps_per_epoch=planned if in_epoch > steps else None,
            verbose=0,
            callbacks=[watch],
        )
        self._slowness[strategy] = watch.seconds / watch.steps / self._believed(strategy)
        found = evaluate(model, data.validation or (), data.class_names)
        judged = judged_probabilities(found.probabilities, found.labels)  # type: ignore[union-attr]
        model.clear_cache()
        scores = FineTuning(
            spec=self.entry.candidate.spec,
            image_size=self.entry.image_size,
            strategy=strategy,
            freeze_through=freeze_through,
            steps=watch.steps,
            planned_steps=planned,
            estimate=judged.estimate,
            solved=self.judged.estimate,
            p_value=loss_p_value(judged, self.judged),
            seconds=time.perf_counter() - start,
        )
        return Tuned(self.entry, scores, judged, self.judged)

    def _seconds_per_step(self, strategy: str) -> float:
        """By what the strategy has taken; another's slowness counts, but not its speed."""
        slowness = self._slowness.get(strategy, max((1.0, *self._slowness.values())))
        return self._believed(strategy) * slowness

    def _believed(self, strategy: str) -> float:
        milliseconds = self.entry.milliseconds * _STEP_OVER_INFERENCE[strategy]
        return BATCH_SIZE * (milliseconds / 1000 + self.entry.reading_seconds)

    @property
    def _seconds_to_judge(self) -> float:
        return 2 * self.entry.data.sizes["validation"] * self.entry.seconds_per_image


def choose_steps(start: SolvedStart, strategy: str, *, left: float, waiting: int) -> int:
    """How many steps the next fine-tuning has: its part of the time, 60 at least.

    Args:
        start: What it starts from.
        strategy: `FULL` or `PARTIAL`.
        left: Seconds that are left for all.
        waiting: How many fine-tunings are still to come, this one included.

    Returns:
        A number from `FEWEST_STEPS` to `MOST_STEPS`, or 0 where even the fewest do not fit.
    """
    steps = start.steps_within(strategy, left / max(waiting, 1))
    if steps >= FEWEST_STEPS:
        return steps
    return FEWEST_STEPS if start.seconds(strategy, FEWEST_STEPS) <= left else 0


class _StopLate(keras.callbacks.Callback):
    """Counts steps, and ends a `fit` that takes longer than it may."""

    def __init__(self, most_seconds: float, clock: Callable[[], float] = time.perf_counter) -> None:
        super().__init__()
        self._clock, self._most = clock, most_seconds
        self._start = math.nan
        self.steps, self.seconds = 0, 0.0

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._start = self._clock()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.steps += 1
        self.seconds = self._clock() - self._start
        if self.seconds > self._most:
            self.model.stop_training = True
