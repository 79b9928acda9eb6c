"""Which short fine-tunings are made in the time that is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kerastl.errors import sentence
from kerastl.runs.picking.depth import depths_to_try
from kerastl.runs.picking.entries import BATCH_SIZE, FAILURES
from kerastl.runs.picking.fine_tuning import (
    FEWEST_STEPS,
    FULL,
    PARTIAL,
    SolvedStart,
    Tuned,
    choose_steps,
)
from kerastl.runs.picking.results import BEST, LeftOut
from kerastl.runs.picking.scoring import Scored, Scoring


class TuningRounds:
    """Fine-tunes the chosen candidate, then the best where that is another.

    Args:
        scoring: What scored them.
        left_out: Gets what is not done.
        say: Takes lines of progress.

    Attributes:
        done: What was done, in order.
    """

    def __init__(
        self, scoring: Scoring, left_out: list[LeftOut], say: Callable[[str], None]
    ) -> None:
        self._scoring, self._left_out, self._say = scoring, left_out, say
        self.done: list[Tuned] = []

    def tune(self, scored: Sequence[Scored], chosen: Scored, left: Callable[[], float]) -> None:
        """Make those fine-tunings that fit.

        Args:
            scored: Every candidate.
            chosen: The one that is recommended so far.
            left: Gives the seconds that are left.
        """
        best = [each for each in scored if each.scores.standing == BEST]
        waiting = [chosen, *(each for each in best if each is not chosen)]
        for number, each in enumerate(waiting):
            if each.entry.order.data.validation is None:
                self._leave_out(each, "fine-tuning", "the data has no validation part")
                continue
            # The chosen one's fine-tunings come first, and may use two thirds.
            later = 1 if number + 1 < len(waiting) else 0
            try:
                self._tune_one(each, left, later=later)
            except FAILURES as error:
                self._leave_out(each, "fine-tuning", sentence(error))
            finally:
                each.entry.release()

    def _tune_one(self, each: Scored, left: Callable[[], float], *, later: int) -> None:
        if left() < _least_seconds(each):
            self._leave_out(each, "fine-tuning", f"{left():.0f} s were left")
            return
        start = SolvedStart(each.entry, each.entry.rows(len(each.entry.order)))
        names = start.model.block_names[:-1]
        depths = depths_to_try(names, each.scores.blocks)
        planned: list[tuple[str, str | None]] = [
            *((PARTIAL, depth) for depth in depths[:1]),
            (FULL, None),
            *((PARTIAL, depth) for depth in depths[1:]),
        ]
        for number, (strategy, depth) in enumerate(planned):
            waiting = len(planned) - number + later
            steps = choose_steps(start, strategy, left=left(), waiting=waiting)
            what = strategy if depth is None else f"{strategy}, frozen through {depth}"
            if not steps:
                needed = start.seconds(strategy, FEWEST_STEPS)
                reason = f"{FEWEST_STEPS} steps would take {needed:.0f} s, {left():.0f} s were left"
                self._leave_out(each, what, reason)
                continue
            self._say(f"{each.entry.label}: about {steps} steps, {what}")
            tuned = start.tune(strategy, depth, steps, left=left())
            self.done.append(tuned)
            self._say(
                f"{each.entry.label}: {100 * tuned.scores.estimate.accuracy:.1f} % of the "
                f"validation images, the solved head {100 * tuned.scores.solved.accuracy:.1f} %"
            )

    def _leave_out(self, each: Scored, what: str, reason: str) -> None:
        self._left_out.append(LeftOut(each.entry.label, what, reason))


def _least_seconds(each: Scored) -> float:
    """What the features that are missing and the fewest steps take at least: inference alone."""
    missing = max(0, len(each.entry.order) - each.entry.known)
    return (missing + FEWEST_STEPS * BATCH_SIZE) * each.entry.seconds_per_image
