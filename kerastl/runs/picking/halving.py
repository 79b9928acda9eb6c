"""Successive halving over candidates, within a time: few images and small sizes first.

After Jamieson and Talwalkar (2016). Knows nothing of networks: a trial has a
cost, and a function gives its loss on so many images.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

# A first round takes no more than this share of the time.
_FIRST_SHARE = 1 / 3
_GROWTH = 4


class Budget:
    """A time that runs out.

    Args:
        minutes: How long it is.
        clock: Gives seconds.

    Raises:
        ValueError: If it is not above 0.
    """

    def __init__(self, minutes: float, clock: Callable[[], float] = time.monotonic) -> None:
        if not 0 < minutes < math.inf:
            raise ValueError(
                f"`minutes` must be above 0. Received: minutes={minutes}. Name how long the "
                "search may take."
            )
        self._clock = clock
        self._start = clock()
        self.seconds = 60 * minutes

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start

    def left(self, share: float = 1.0) -> float:
        """Seconds until a share of the time is over; 0 where it is."""
        return max(0.0, self.seconds * share - self.elapsed)


@dataclass(frozen=True)
class Trial:
    """Something to try.

    Attributes:
        backbone: Which backbone, by a name of its own.
        image_size: Height and width, pixels.
    """

    backbone: str
    image_size: int


@dataclass(frozen=True)
class Work:
    """How trials are done, and what they cost.

    Attributes:
        cost: Seconds that a trial takes on the first so many images, by what is known by now.
        score: The loss of a trial on them; None where it failed.
        left: Gives the seconds that are left.
    """

    cost: Callable[[Trial, int], float]
    score: Callable[[Trial, int], float | None]
    left: Callable[[], float]

    def total(self, trials: Sequence[Trial], num_images: int) -> float:
        """Seconds that some trials take together."""
        return sum(self.cost(trial, num_images) for trial in trials)


@dataclass
class Halved:
    """What came of the trials.

    Attributes:
        losses: Of the trials of the last round.
        num_images: Images of the last round: all, where there was time.
        dropped: Trials that were in the worse half of a round, with its images.
        left_out: Trials that were not made or not finished, and why.
    """

    losses: dict[Trial, float] = field(default_factory=dict)
    num_images: int = 0
    dropped: dict[Trial, int] = field(default_factory=dict)
    left_out: dict[Trial, str] = field(default_factory=dict)


def halve(trials: Sequence[Trial], num_images: int, work: Work, *, fewest: int) -> Halved:
    """Score trials on all images where the time is enough, else drop the worse half in rounds.

    Where it is not, only the smallest size of each backbone starts, on as many
    images as a third of the time allows; the better half goes on with four
    times as many. Larger sizes of those that are left join at the end, the
    best first. Nothing is started that would not fit.

    Args:
        trials: What there is to try.
        num_images: All images.
        work: How they are done, and what they cost.
        fewest: Images that a round must have, where there are as many.

    Returns:
        The last round for which there was time, and what did not come to it.
    """
    found = Halved(num_images=num_images)
    if work.total(trials, num_images) <= work.left():
        found.losses = _scored(trials, num_images, found, work)
        return found
    smallest: dict[str, Trial] = {}
    for trial in sorted(trials, key=lambda trial: trial.image_size):
        smallest.setdefault(trial.backbone, trial)
    going = sorted(smallest.values(), key=lambda trial: work.cost(trial, num_images))
    count = _first_count(going, num_images, min(fewest, num_images), work)
    found.losses, found.num_images = _scored(going, count, found, work), count
    while found.losses and found.num_images < num_images:
        better, worse = _halves(found.losses)
        count = min(num_images, found.num_images * _GROWTH)
        losses = _scored(better, count, found, work)
        if not losses:  # no time: the round before was the last
            for trial in better:
                found.left_out.pop(trial, None)
            break
        found.dropped |= dict.fromkeys(worse, found.num_images)
        found.losses, found.num_images = losses, count
    _with_larger_sizes(found, trials, set(smallest.values()), work)
    return found


def _halves(losses: Mapping[Trial, float]) -> tuple[list[Trial], list[Trial]]:
    """The better half by loss, best first, and the worse."""
    order = sorted(losses, key=lambda trial: losses[trial])
    middle = math.ceil(len(order) / 2)
    return order[:middle], order[middle:]


def _first_count(trials: Sequence[Trial], num_images: int, fewest: int, work: Work) -> int:
    """The most images, of a half, a quarter and so on, that all trials can have at first."""
    count, seconds = num_images, work.left() * _FIRST_SHARE
    while count > fewest and work.total(trials, count) > seconds:
        count = max(fewest, count // 2)
    return count


def _scored(
    trials: Sequence[Trial],
    count: int,
    found: Halved,
    work: Work,
) -> dict[Trial, float]:
    """The losses of those trials that fit into the time and do not fail."""
    losses = {}
    for trial in trials:
        needed, available = work.cost(trial, count), work.left()
        if needed > available:
            found.left_out[trial] = (
                f"{count:,} images would take {needed:.0f} s, and {available:.0f} s were left"
            )
            continue
        loss = work.score(trial, count)
        if loss is not None:
            losses[trial] = loss
    return losses


def _with_larger_sizes(
    found: Halved,
    trials: Sequence[Trial],
    smallest: set[Trial],
    work: Work,
) -> None:
    better = {trial.backbone: rank for rank, trial in enumerate(_halves(found.losses)[0])}
    larger = [trial for trial in trials if trial not in smallest]
    for trial in larger:
        if trial.backbone not in better:
            found.left_out[trial] = "at a smaller size it was not in the better half"
    joining = sorted(
        (trial for trial in larger if trial.backbone in better),
        key=lambda trial: (better[trial.backbone], trial.image_size),
    )
    found.losses |= _scored(joining, found.num_images, found, work)
