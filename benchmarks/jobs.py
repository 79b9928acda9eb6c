"""What is measured: every job, its size, its rivals and the ratio that is wanted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from benchmarks.contestants import CONTESTANTS, OURS

Kind = Literal["training", "overhead", "loading", "many-files"]
Strategy = Literal["feature-extraction", "partial", "full"]

NUM_CLASSES = 10
SEED = 0
TINY = "tiny"
"""Name of the network that costs next to nothing, so that what is around it shows."""

_ALL_RIVALS = tuple(name for name in CONTESTANTS if name != OURS)
_FEWEST_IMAGES = 50


@dataclass(frozen=True, kw_only=True)
class Job:
    """One piece of work that every contestant does.

    Attributes:
        name: Unique name.
        group: Name that selects it together with its like.
        kind: What is timed: "training" a whole training, "overhead" the same
            with a tiny network, "loading" batches from image files,
            "many-files" the time to the first batch of a large folder.
        model: The spec of the backbone, `TINY`, or "" where nothing is trained.
        strategy: What trains: the head, what is after the second of four
            stages ("partial"), or all.
        epochs: Passes over the images.
        images: Number of images.
        image_size: Height and width that the network sees, pixels.
        precision: Dtype policy of Keras; the hand-written loop is float32 always.
        batch_size: Images per batch.
        num_workers: Processes that decode. None: the library's own choice.
        rivals: Contestants beside ours.
        target: The ratio that is wanted, or None.
        target_rival: The contestant that `target` is against.
    """

    name: str
    group: str
    kind: Kind = "training"
    model: str = ""
    strategy: Strategy = "full"
    epochs: int = 1
    images: int
    image_size: int
    precision: str = "float32"
    batch_size: int = 32
    num_workers: int | None = 0
    rivals: tuple[str, ...] = ()
    target: float | None = None
    target_rival: str = "pytorch_loop"

    @property
    def steps(self) -> int:
        """Batches over all epochs."""
        return self.epochs * math.ceil(self.images / self.batch_size)

    @property
    def is_mixed(self) -> bool:
        """Whether the job is one of mixed precision."""
        return self.precision != "float32"

    @property
    def architecture(self) -> str:
        """The model without its source."""
        return self.model.rpartition(":")[2]


_PRECISIONS = ("float32", "mixed_bfloat16")
_EPOCHS: dict[Strategy, int] = {"feature-extraction": 10, "partial": 5, "full": 1}
_IMAGES = {"resnet18": 1024, "resnet50": 256}
_TARGETS = {
    ("resnet18", "feature-extraction", "float32"): 8.0,
    ("resnet18", "feature-extraction", "mixed_bfloat16"): 14.0,
    ("resnet18", "partial", "float32"): 1.8,
    ("resnet18", "partial", "mixed_bfloat16"): 3.0,
    ("resnet18", "full", "float32"): 1.15,
    ("resnet18", "full", "mixed_bfloat16"): 2.0,
}
_GROWTH = ((1, 1), (2, 1), (4, 1), (8, 1), (1, 2), (1, 4), (1, 8))
"""Factors on the images and on the epochs."""

_MANY = (10_000, 100_000)


def _training_jobs() -> Iterator[Job]:
    for network, images in _IMAGES.items():
        for precision in _PRECISIONS:
            for strategy, epochs in _EPOCHS.items():
                yield Job(
                    name=f"{strategy}-{network}-{precision}",
                    group=strategy,
                    model=f"torchvision:{network}",
                    strategy=strategy,
                    epochs=epochs,
                    images=images,
                    image_size=128,
                    precision=precision,
                    rivals=_ALL_RIVALS,
                    target=_TARGETS.get((network, strategy, precision)),
                )
    yield Job(
        name="keras-resnet50-full",
        group="keras",
        model="keras:ResNet50",
        images=128,
        image_size=128,
        rivals=("plain_keras",),
        target=1.2,
        target_rival="plain_keras",
    )


def _loading_jobs() -> Iterator[Job]:
    for workers in (1, 2):
        yield Job(
            name=f"jpeg-{workers}",
            group="jpeg",
            kind="loading",
            epochs=8,
            images=64,
            image_size=224,
            batch_size=16,
            num_workers=workers,
            rivals=("pytorch_loop",),
            target=2.0,
        )


def _other_jobs() -> Iterator[Job]:
    yield Job(
        name="overhead",
        group="overhead",
        kind="overhead",
        model=TINY,
        images=200 * 32,
        image_size=32,
        rivals=_ALL_RIVALS,
    )
    for images, epochs in _GROWTH:
        yield Job(
            name=f"growth-{images}x-images-{epochs}x-epochs",
            group="growth",
            model="torchvision:resnet18",
            strategy="feature-extraction",
            epochs=2 * epochs,  # in a single epoch nothing could be kept
            images=128 * images,
            image_size=64,
        )
    for files in _MANY:
        yield Job(
            name=f"many-files-{files}",
            group="many-files",
            kind="many-files",
            images=files,
            image_size=32,
            num_workers=None,
        )


JOBS: dict[str, Job] = {
    job.name: job for job in (*_training_jobs(), *_loading_jobs(), *_other_jobs())
}


def select_jobs(names: Sequence[str]) -> list[Job]:
    """The jobs of these names and groups, in the order of `JOBS`; all, without any.

    Raises:
        ValueError: If there is no such job or group.
    """
    groups = list(dict.fromkeys(job.group for job in JOBS.values()))
    for name in names:
        if name not in JOBS and name not in groups:
            raise ValueError(
                f"`--jobs` must be names of jobs or groups. Received: {name!r}. "
                f"Groups: {', '.join(groups)}. Jobs: {', '.join(JOBS)}."
            )
    return [job for job in JOBS.values() if not names or {job.name, job.group} & set(names)]


def scaled(job: Job, scale: float) -> Job:
    """The same job on `scale` times as many images, but on no fewer than 50: some of each class."""
    return replace(job, images=max(_FEWEST_IMAGES, round(job.images * scale)))
