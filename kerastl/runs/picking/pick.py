"""`pick`: which backbone, and how deep to freeze, for these images, within some minutes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from kerastl.backbones.registry import describe
from kerastl.data import load_data, suggested_image_size
from kerastl.data.resizing import ResizeMode
from kerastl.data.spec_paths import published
from kerastl.data.understanding import quietly
from kerastl.errors import sentence
from kerastl.prefix.feature_files import FeatureFiles
from kerastl.runs.picking import recommending
from kerastl.runs.picking.candidates import CURATED, CURATED_NAME, Candidate, choose
from kerastl.runs.picking.entries import BATCH_SIZE, FAILURES, Entry, ImageOrder
from kerastl.runs.picking.halving import Budget
from kerastl.runs.picking.recommending import RunOptions
from kerastl.runs.picking.results import DEFAULT_MINUTES, LeftOut, Pick
from kerastl.runs.picking.scoring import Scored, Scoring
from kerastl.runs.picking.tuning import TuningRounds
from kerastl.solving.folds import DEFAULT_FOLDS

# Shares of the time by which candidates are opened, scored and looked at by block.
_OPENED, _SCORED, _BY_BLOCK = 0.2, 0.6, 0.75
_SMALLEST_SIZE = 32
_FEW = 3
_USUAL_SIZE = 224
# Models stay open between measuring and computing up to so many bytes together.
_MOST_OPEN = 2**30

Echo = Callable[[str], None]


def pick(
    data: str | tuple[Any, Any],
    backbones: Sequence[str] | None = None,
    minutes: float = DEFAULT_MINUTES,
    *,
    weights: Mapping[str, str] | None = None,
    image_sizes: Sequence[int] = (),
    resize: ResizeMode = "crop",
    skip_broken: bool = False,
    seed: int = 0,
    echo: Echo | None = None,
) -> Pick:
    """Measure which backbone, image size and frozen blocks suit some images.

    For each backbone and size the pooled features of all images but the test
    part are computed once and kept in the user's cache folder; the best
    linear head on them is solved in five folds, the same for all. What is
    within the noise of the best by the same images (McNemar) competes by
    speed. Then the best are fine-tuned for a few steps. No published score of
    transferability is used: they mislead.

    Args:
        data: a spec such as `folder:PATH`, as `load_data` takes it, or a pair of
            arrays, as `kerastl.load_data` takes them; one class per image.
        backbones: Specs, globs over `kerastl.list_backbones()`, or "curated".
            None: all whose weights are on this machine.
        minutes: The time that it may take; what would not fit is not started.
        weights: Of some specs: a local file, a published name, or "none".
        image_sizes: Heights and widths to try, pixels. Empty: what suits the
            data, else the weights' own, and half of it.
        resize: "crop", "squash" or "pad".
        skip_broken: Whether image files that cannot be decoded are left out.
        seed: Number that fixes the split, as in `kerastl run`, and the folds.
        echo: Takes lines of progress.

    Raises:
        ValueError: If an argument is out of range, or nothing could be measured.
        UnknownNameError: If a spec names no backbone, or a glob fits none.

    Example:

        found = kerastl.pick("folder:flowers/", minutes=5)
        print(found.recommendation.command)
    """
    say = echo or (lambda line: None)
    budget = Budget(minutes)
    candidates, left_out = choose(backbones, weights or {})
    if not candidates:
        raise ValueError(
            f"`backbones` must name one whose weights are here. Received: {backbones}. Name one in "
            "full to have its weights downloaded, or give a file by `weights`."
        )
    suggested = suggested_image_size(data) if isinstance(data, str) else None
    with quietly() if echo else nullcontext():
        loaded = load_data(
            data,
            image_size=suggested or _USUAL_SIZE,
            batch_size=BATCH_SIZE,
            resize=resize,
            skip_broken=skip_broken,
            seed=seed,
            progress=echo is not None,
        )
    for note in loaded.notes:
        say(note)
    order = ImageOrder.of(loaded, seed=seed)
    say(f"Backbones: {len(candidates)}; {len(order):,} images of {loaded.num_classes} classes")
    if not backbones and len(candidates) < _FEW:
        say(f"--backbones {CURATED_NAME} tries these too, and downloads their weights:")
        for each in CURATED:
            say(f"  {each.size:<6}  {each.spec}: {each.reason}")
    sizes = tuple(image_sizes) or suggested
    entries = _opened(candidates, sizes, order, budget, left_out, say)
    scoring = Scoring(order, entries, left_out, say)
    scored = scoring.scored(lambda: budget.left(_SCORED))
    chosen = recommending.fastest_within_noise(scored)
    scoring.look_by_block(scored, chosen, lambda: budget.left(_BY_BLOCK))
    rounds = TuningRounds(scoring, left_out, say)
    rounds.tune(scored, chosen, budget.left)
    options = RunOptions(loaded.spec, resize, skip_broken=skip_broken, seed=seed)
    return Pick(
        data=published(loaded.spec),
        num_classes=loaded.num_classes,
        num_images=len(order),
        num_folds=DEFAULT_FOLDS,
        candidates=[each.scores for each in _in_order(scored)],
        left_out=left_out,
        fine_tunings=[each.scores for each in rounds.done],
        recommendation=recommending.recommend(scored, chosen, rounds.done, options),
        minutes=minutes,
        seconds=budget.elapsed,
    )


def _opened(
    candidates: Sequence[Candidate],
    sizes: int | Sequence[int] | None,
    order: ImageOrder,
    budget: Budget,
    left_out: list[LeftOut],
    say: Echo,
) -> list[Entry]:
    """Every backbone at every size that can be built, and what an image costs it."""
    files = FeatureFiles()
    entries: list[Entry] = []
    for candidate in candidates:
        for size in _sizes_of(candidate, sizes):
            if entries and not budget.left(_OPENED):
                reason = f"opening the others took {budget.elapsed:.1f} s; give more --minutes"
                left_out.append(LeftOut(candidate.spec, f"{size} pixels", reason))
                continue
            try:
                entry = Entry(candidate, size, order, files)
                entry.measure()
            except FAILURES as error:
                left_out.append(LeftOut(candidate.spec, f"{size} pixels", sentence(error)))
                say(f"{candidate.spec} at {size} is left out: {sentence(error)}")
                continue
            entries.append(entry)
            if sum(each.num_bytes for each in entries if each.model is not None) > _MOST_OPEN:
                entry.release()
    if not entries:
        reasons = "; ".join(f"{each.spec}: {each.reason}" for each in left_out)
        raise ValueError(f"`backbones` must have one that can be used here. Received: {reasons}")
    return entries


def _sizes_of(candidate: Candidate, sizes: int | Sequence[int] | None) -> list[int]:
    """Image sizes to try, smallest first: those asked for, or the usual one and half of it."""
    if isinstance(sizes, Sequence):
        return sorted(set(sizes))
    usual = sizes or describe(candidate.spec).image_size or _USUAL_SIZE
    half = max(_SMALLEST_SIZE, usual // 2 // _SMALLEST_SIZE * _SMALLEST_SIZE)
    return sorted({half, usual})


def _in_order(scored: Sequence[Scored]) -> list[Scored]:
    """Those with all images first, by accuracy; then those that were dropped."""
    return sorted(
        scored,
        key=lambda each: (
            each.scores.p_value is None,
            -each.scores.estimate.accuracy,
            each.scores.estimate.loss,
        ),
    )
