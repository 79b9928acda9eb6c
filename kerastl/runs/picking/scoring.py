"""Score candidates by solved heads: all in the same folds, and against the best image by image."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from kerastl.errors import sentence
from kerastl.runs.picking.entries import FAILURES, Entry, ImageOrder
from kerastl.runs.picking.estimates import Judged, accuracy_p_value, common_folds, held_out
from kerastl.runs.picking.halving import Trial, Work, halve
from kerastl.runs.picking.results import (
    BEST,
    DROPPED,
    SIGNIFICANT,
    WITHIN_NOISE,
    WORSE,
    BlockScore,
    CandidateScore,
    LeftOut,
)

FEWEST_PER_CLASS = 20
FEWEST_IMAGES = 200
# Seconds to solve five folds, per image, class and (feature + 200); corrected by what is measured.
_SOLVING = 4e-7
_OWN_COST = 200

Left = Callable[[], float]


@dataclass
class Scored:
    """A candidate with its scores.

    Attributes:
        entry: The backbone at its size.
        judged: Its predictions out of fold, image by image.
        scores: What is reported of it.
    """

    entry: Entry
    judged: Judged = field(repr=False)
    scores: CandidateScore


class Scoring:
    """Solves heads on the features of candidates.

    Args:
        order: The images.
        entries: The candidates, measured.
        left_out: Gets what is not measured.
        say: Takes lines of progress.
    """

    def __init__(
        self,
        order: ImageOrder,
        entries: Sequence[Entry],
        left_out: list[LeftOut],
        say: Callable[[str], None],
    ) -> None:
        self._order, self._left_out, self._say = order, left_out, say
        self._rate = _SOLVING
        self._entries = {self._trial(entry): entry for entry in entries}
        self._judged: dict[Trial, Judged] = {}

    def scored(self, left: Left) -> list[Scored]:
        """Every candidate that the time was enough for, the best first.

        Raises:
            ValueError: If it was enough for none.
        """
        count = len(self._order)
        fewest = max(FEWEST_IMAGES, FEWEST_PER_CLASS * self._order.data.num_classes)
        work = Work(self._cost, self._score, left)
        found = halve(list(self._entries), count, work, fewest=fewest)
        for trial, reason in found.left_out.items():
            size = f"{trial.image_size} pixels"
            self._left_out.append(LeftOut(self._entries[trial].candidate.spec, size, reason))
        if not found.losses:
            reasons = "; ".join(
                f"{each.spec}, {each.what}: {each.reason}" for each in self._left_out
            )
            raise ValueError(
                f"`minutes` must be enough for one backbone. Nothing was measured: {reasons}. "
                "Give more minutes, fewer backbones or a smaller image size."
            )
        rank = sorted(
            found.losses, key=lambda each: (-self._judged[each].correct.mean(), found.losses[each])
        )
        best = self._judged[rank[0]]
        count = found.num_images
        scored = [self._of(trial, count, best, is_best=trial == rank[0]) for trial in rank]
        return scored + [self._of(trial, n, None) for trial, n in found.dropped.items()]

    def look_by_block(self, scored: Sequence[Scored], chosen: Scored, left: Left) -> None:
        """Score the features behind every block of the best and of the chosen candidate."""
        for each in [chosen, *(one for one in scored if one.scores.standing == BEST)]:
            if each.scores.blocks:
                continue
            rows = each.entry.rows(each.scores.num_images)
            widths = [features.shape[1] for features in rows.blocks.values()]
            needed = sum(self._seconds_to_solve(width) for width in widths) * len(rows.labels)
            if needed > left():
                reason = f"it would take {needed:.0f} s, and {left():.0f} s were left"
                self._left_out.append(LeftOut(each.entry.label, "its blocks one by one", reason))
                continue
            folds = common_folds(rows.labels, seed=self._order.seed)
            blocks = [
                BlockScore(name, self._solve(features, rows.labels, folds).estimate)
                for name, features in list(rows.blocks.items())[:-1]
            ]
            last = BlockScore(list(rows.blocks)[-1], each.scores.estimate)
            each.scores = dataclasses.replace(each.scores, blocks=(*blocks, last))
            lowest = min(each.scores.blocks, key=lambda block: block.estimate.loss)
            self._say(
                f"{each.entry.label}: the lowest log-loss is behind {lowest.name}, "
                f"{lowest.estimate.loss:.3f}; behind the last block {last.estimate.loss:.3f}"
            )

    def _score(self, trial: Trial, count: int) -> float | None:
        entry = self._entries[trial]
        try:
            rows = entry.rows(count)
            folds = common_folds(rows.labels, seed=self._order.seed)
            judged = self._solve(rows.features, rows.labels, folds)
        except FAILURES as error:
            size = f"{trial.image_size} pixels"
            self._left_out.append(LeftOut(entry.candidate.spec, size, sentence(error)))
            self._say(f"{entry.label} is left out: {sentence(error)}")
            return None
        finally:
            entry.release()
        self._judged[trial] = judged
        if entry.not_kept:
            self._say(f"{entry.label}: features are not kept on disk: {entry.not_kept}")
        found = judged.estimate
        self._say(
            f"{entry.label}: {100 * found.accuracy:.1f} % of {count:,} images out of fold, "
            f"{entry.milliseconds:.2g} ms per image"
        )
        return found.loss

    def _solve(self, features: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> Judged:
        start = time.perf_counter()
        classes = self._order.data.num_classes
        judged = held_out(features, labels, folds, num_classes=classes)
        took = time.perf_counter() - start
        units = len(labels) * classes * (features.shape[1] + _OWN_COST)
        # Half of what was believed: one solve may be quick by luck.
        self._rate = (self._rate + took / units) / 2
        return judged

    def _seconds_to_solve(self, width: int) -> float:
        return self._rate * self._order.data.num_classes * (width + _OWN_COST)

    def _trial(self, entry: Entry) -> Trial:
        return Trial(f"{entry.candidate.spec} {entry.candidate.weights}", entry.image_size)

    def _cost(self, trial: Trial, count: int) -> float:
        entry = self._entries[trial]
        missing = max(0, count - entry.known)
        solving = count * self._seconds_to_solve(entry.width)
        return missing * entry.seconds_per_image + solving

    def _of(
        self, trial: Trial, count: int, best: Judged | None, *, is_best: bool = False
    ) -> Scored:
        entry, judged = self._entries[trial], self._judged[trial]
        p_value = None if best is None else accuracy_p_value(judged, best)
        standing = DROPPED
        if p_value is not None:
            standing = WITHIN_NOISE if p_value >= SIGNIFICANT else WORSE
        scores = CandidateScore(
            spec=entry.candidate.spec,
            weights=entry.candidate.weights,
            image_size=entry.image_size,
            num_images=count,
            estimate=judged.estimate,
            milliseconds=entry.milliseconds,
            num_parameters=entry.num_parameters,
            num_bytes=entry.num_bytes,
            standing=BEST if is_best else standing,
            p_value=p_value,
        )
        return Scored(entry, judged, scores)
