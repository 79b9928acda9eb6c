"""What to go on with, and why, in sentences."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from kerastl.runs.picking.candidates import DEFAULT_WEIGHTS
from kerastl.runs.picking.depth import deepest_useful, loss_ratio
from kerastl.runs.picking.estimates import Judged, loss_p_value
from kerastl.runs.picking.fine_tuning import PARTIAL, Tuned
from kerastl.runs.picking.results import (
    BEST,
    SIGNIFICANT,
    WITHIN_NOISE,
    CandidateScore,
    FineTuning,
    Recommendation,
)
from kerastl.runs.picking.scoring import Scored

EXTRACTION = "feature-extraction"
_ARRAYS = "arrays"


@dataclass(frozen=True)
class RunOptions:
    """What `pick` and the run after it have in common.

    Attributes:
        data: The data spec.
        resize: How images are brought to size.
        skip_broken: Whether broken images are left out.
        seed: Number that fixes the split.
    """

    data: str
    resize: str = "crop"
    skip_broken: bool = False
    seed: int = 0


def fastest_within_noise(scored: Sequence[Scored]) -> Scored:
    """Of the best and of what is within the noise of it, what takes least time per image."""
    alike = [each for each in scored if each.scores.standing in (BEST, WITHIN_NOISE)]
    return min(alike, key=lambda each: each.scores.milliseconds)


def recommend(
    scored: Sequence[Scored], chosen: Scored, tuned: Sequence[Tuned], options: RunOptions
) -> Recommendation:
    """What to go on with.

    Args:
        scored: Every candidate.
        chosen: The fastest within the noise of the best.
        tuned: The short fine-tunings of these two.
        options: What the run has in common with this search.
    """
    best = next(each for each in scored if each.scores.standing == BEST)
    reasons = [_why_this(chosen.scores, best.scores)]
    total = len(best.entry.order)
    if best.scores.num_images < total:
        reasons.append(
            f"This is of {best.scores.num_images:,} of {total:,} images, for which there was time; "
            "with more --minutes fewer candidates would be within the noise."
        )
    if chosen is not best:
        switch = _why_the_best_after_all(chosen, best, tuned)
        if switch is not None:
            chosen, reasons = best, [*reasons, switch]
    scores = chosen.scores
    useful = deepest_useful(scores.blocks)
    if len(scores.blocks) > 1:
        reasons.append(_by_blocks(scores, useful))
    of_chosen = [each.scores for each in tuned if each.entry is chosen.entry]
    strategy, freeze_through, why = how_deep(of_chosen, useful)
    reasons.append(why)
    return Recommendation(
        scores.spec,
        scores.weights,
        scores.image_size,
        strategy,
        freeze_through,
        reasons,
        command(scores, strategy, freeze_through, options),
    )


def how_deep(tuned: Sequence[FineTuning], useful: str | None) -> tuple[str, str | None, str]:
    """Strategy, last frozen block, and why.

    What was measured by fine-tuning decides; where that is not clear, the
    blocks do, if a fine-tuning points the same way.

    Args:
        tuned: Short fine-tunings of one candidate.
        useful: The middle block whose features are clearly better than the last's, or None.
    """
    ahead = [each for each in tuned if each.is_ahead]
    clear = [each for each in ahead if each.gains]
    if clear or (ahead and useful is not None):
        lowest = min(clear or ahead, key=lambda each: each.estimate.loss)
        words = _tuned_words(lowest)
        if not clear:
            words += ", which by itself may be chance, but is what the blocks say too"
        return lowest.strategy, lowest.freeze_through, f"{words}."
    if tuned:
        lowest = min(tuned, key=lambda each: each.estimate.loss)
        return EXTRACTION, None, f"No short fine-tuning clearly gained: {_tuned_words(lowest)}."
    if useful is not None:
        why = "Nothing could be fine-tuned in the time, so this goes by the blocks alone."
        return PARTIAL, useful, why
    return EXTRACTION, None, "Nothing could be fine-tuned in the time; a solved head costs least."


def _why_this(chosen: CandidateScore, best: CandidateScore) -> str:
    found = chosen.estimate
    own = f"{chosen.label} has {_percent(found.accuracy)} ({_range(chosen)})"
    if chosen.label == best.label:
        return f"{own} out of fold, the best, and nothing within the noise of it is faster."
    return (
        f"{own} out of fold, which is within the noise of the best, {best.label} with "
        f"{_percent(best.estimate.accuracy)} (p = {chosen.p_value:.2f} by the same images), and "
        f"takes {chosen.milliseconds:.2g} ms per image instead of {best.milliseconds:.2g}."
    )


def _why_the_best_after_all(chosen: Scored, best: Scored, tuned: Sequence[Tuned]) -> str | None:
    """Where the best, fine-tuned, is clearly ahead of all that the chosen one has come to."""
    of_best = [each for each in tuned if each.entry is best.entry and each.scores.gains]
    of_chosen = [each for each in tuned if each.entry is chosen.entry]
    if not of_best or not of_chosen:
        return None
    ways = [of_chosen[0].solved, *(each.judged for each in of_chosen)]
    mine = min(ways, key=lambda each: each.estimate.loss)
    its = min(of_best, key=lambda each: each.scores.estimate.loss)
    if not _is_clearly_better(its.judged, mine):
        return None
    return (
        f"Fine-tuned, {best.entry.label} is clearly better: "
        f"{_percent(its.scores.estimate.accuracy)} against "
        f"{_percent(mine.estimate.accuracy)} of the validation images."
    )


def _is_clearly_better(one: Judged, other: Judged) -> bool:
    lower = one.estimate.loss < other.estimate.loss
    ahead = one.estimate.accuracy >= other.estimate.accuracy
    return lower and ahead and loss_p_value(one, other) < SIGNIFICANT


def _by_blocks(scores: CandidateScore, useful: str | None) -> str:
    ratio = loss_ratio(scores.blocks)
    if useful is None:
        return (
            "No earlier block gives features with a clearly lower log-loss than the last (lowest "
            f"ratio {ratio:.2f}), so its last features serve these images about as well as any."
        )
    return (
        f"The features behind {useful} have {ratio:.2f} of the log-loss of those behind the last "
        "block, so these images are far from those that the weights are from, and the blocks "
        "behind it should train."
    )


def _tuned_words(tuned: FineTuning) -> str:
    what = "all blocks training"
    if tuned.freeze_through is not None:
        what = f"the blocks behind {tuned.freeze_through} training"
    return (
        f"{tuned.steps} steps with {what} give {_percent(tuned.estimate.accuracy)} of the "
        f"validation images (log-loss {tuned.estimate.loss:.3f}), the solved head "
        f"{_percent(tuned.solved.accuracy)} ({tuned.solved.loss:.3f})"
    )


def command(
    scores: CandidateScore, strategy: str, freeze_through: str | None, options: RunOptions
) -> str:
    """The command of a run with a candidate, as a shell takes it.

    Args:
        scores: The candidate.
        strategy: "feature-extraction", "partial" or "full".
        freeze_through: The last frozen block of "partial".
        options: What the run has in common with this search.
    """
    # Arrays have no spec; the reader has to say where the images are.
    words = ["kerastl", "run", "--data", options.data if options.data != _ARRAYS else "DATA"]
    words += ["--backbone", scores.spec]
    if scores.weights != DEFAULT_WEIGHTS:
        words += ["--weights", scores.weights]
    words += ["--image-size", str(scores.image_size)]
    if options.resize != RunOptions.resize:
        words += ["--resize", options.resize]
    if options.skip_broken:
        words += ["--skip-broken"]
    if options.seed != RunOptions.seed:
        words += ["--seed", str(options.seed)]
    words += ["--strategy", strategy]
    if freeze_through is not None:
        words += ["--freeze-through", freeze_through]
    return shlex.join(words)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _range(scores: CandidateScore) -> str:
    return f"{100 * scores.estimate.low:.1f} to {100 * scores.estimate.high:.1f}"
