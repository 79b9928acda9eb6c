"""What `pick` finds: every candidate with its numbers, short fine-tunings, what to go on with."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

DEFAULT_MINUTES = 10.0
DEFAULT_OUTPUT = "kerastl-pick"


@dataclass(frozen=True)
class LeftOut:
    """What was not measured.

    Attributes:
        spec: The backbone.
        what: The image size in pixels, or what was not done with it; None: all of it.
        reason: Why not.
    """

    spec: str
    what: str | None
    reason: str


@dataclass(frozen=True)
class Estimate:
    """Scores on images, each held out once.

    Attributes:
        accuracy: Share of the images that got their own class.
        low: Lower end of the accuracy's 95 % interval.
        high: Its upper end.
        loss: Mean cross-entropy, nats.
    """

    accuracy: float
    low: float
    high: float
    loss: float


@dataclass(frozen=True)
class BlockScore:
    """How good a solved head is on the features behind one block.

    Attributes:
        name: The block.
        estimate: Out of fold.
    """

    name: str
    estimate: Estimate


BEST = "best"
WITHIN_NOISE = "within the noise"
WORSE = "worse"
DROPPED = "dropped"


@dataclass(frozen=True)
class CandidateScore:
    """A backbone at an image size, its head solved.

    Attributes:
        spec: The backbone.
        weights: As `ImageClassifier` takes them.
        image_size: Height and width, pixels.
        num_images: Images that the head was solved on; all but the test part
            where the candidate was not dropped before.
        estimate: Out-of-fold scores.
        milliseconds: Time per image through the backbone, in batches, here.
        num_parameters: Of the classifier, its head included.
        num_bytes: What its weights take in a file.
        standing: `BEST`, `WITHIN_NOISE` of the best, `WORSE`, or `DROPPED`
            after fewer images than others had.
        p_value: Of the difference from the best by the same images
            (McNemar, exact); 1 for the best, None where it was dropped.
        blocks: By block, input side first, where that was measured.
    """

    spec: str
    weights: str
    image_size: int
    num_images: int
    estimate: Estimate
    milliseconds: float
    num_parameters: int
    num_bytes: int
    standing: str
    p_value: float | None
    blocks: Sequence[BlockScore] = ()

    @property
    def label(self) -> str:
        """Spec and image size."""
        return f"{self.spec} at {self.image_size}"


@dataclass(frozen=True)
class FineTuning:
    """A short fine-tuning from the solved head, judged on the validation images.

    Attributes:
        spec: The backbone.
        image_size: Height and width, pixels.
        strategy: "partial" or "full".
        freeze_through: The last frozen block, or None.
        steps: Optimizer steps that were made.
        planned_steps: Steps that were to be made.
        estimate: Scores on the validation images.
        solved: Scores of the solved head on the same images.
        p_value: Of the difference of the losses (paired, by the normal distribution).
        seconds: What it took.
    """

    spec: str
    image_size: int
    strategy: str
    freeze_through: str | None
    steps: int
    planned_steps: int
    estimate: Estimate
    solved: Estimate
    p_value: float
    seconds: float

    @property
    def is_ahead(self) -> bool:
        """Whether it is below the solved head in loss, and not behind in accuracy."""
        lower = self.estimate.loss < self.solved.loss
        return lower and self.estimate.accuracy >= self.solved.accuracy

    @property
    def gains(self) -> bool:
        """Whether it is ahead of the solved head by more than chance."""
        return self.is_ahead and self.p_value < SIGNIFICANT


SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Recommendation:
    """What to go on with.

    Attributes:
        spec: The backbone.
        weights: As `ImageClassifier` takes them.
        image_size: Height and width, pixels.
        strategy: "feature-extraction", "partial" or "full".
        freeze_through: The last frozen block of "partial", else None.
        reasons: Why, in sentences.
        command: The command that trains it.
    """

    spec: str
    weights: str
    image_size: int
    strategy: str
    freeze_through: str | None
    reasons: Sequence[str]
    command: str


@dataclass(frozen=True)
class Pick:
    """What `pick` found.

    Attributes:
        data: The data spec; "arrays" for arrays.
        num_classes: Classes of the data.
        num_images: Images that were used: all but the test part.
        num_folds: Folds of every estimate.
        candidates: Best first; those that were dropped come last.
        left_out: What was not measured, and why.
        fine_tunings: In the order in which they were made.
        recommendation: What to go on with.
        minutes: The time that was allowed.
        seconds: The time that it took.
    """

    data: str
    num_classes: int
    num_images: int
    num_folds: int
    candidates: Sequence[CandidateScore]
    left_out: Sequence[LeftOut]
    fine_tunings: Sequence[FineTuning]
    recommendation: Recommendation
    minutes: float
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON can hold it."""
        return dataclasses.asdict(self)
