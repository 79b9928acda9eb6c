"""Whether the head of a run is solved or trained, and for how long it is fine-tuned from there."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from kerastl.blocks.batch_norm import FROZEN
from kerastl.blocks.batch_norm import TRAIN as TRAIN_STATISTICS
from kerastl.runs import strategies
from kerastl.runs.config import RunConfig
from kerastl.runs.strategies import AUTO, SOLVE, TRAIN

TRAINING_OPTIONS = (
    "epochs",
    "learning_rate",
    "block_rate",
    "layerwise_decay",
    "schedule",
    "phase",
    "patience",
    "keep_best",
    "optimizer",
    "weight_decay",
    "global_clipnorm",
    "accumulate",
    "ema",
    "hidden_units",
    "dropout",
    "label_smoothing",
    "focal",
)
"""Options of which each says how a head is trained."""

TRAINED_EPOCHS = 12
"""Passes over the training images where the head starts at random."""

# What follows is for fine-tuning from the solved head: `benchmarks/accuracy` has the experiments.
FINE_TUNING_STEPS = 200
"""Steps, at least."""

FINE_TUNING_EPOCHS = 6
"""Passes over the training images, at least."""

BATCH_SIZE = 32
"""Images per step."""

SMALL_BATCH_SIZE = 16
"""Images per step of fewer training images than `FEW_IMAGES`."""

FEW_IMAGES = 1000

_MOST_VALUES = 2e10
"""Images times outputs times features above which a head is trained faster than solved."""


AUTO_RULE = {
    "full": f"from {strategies.MANY_IMAGES:,} images per class on; or where, with fewer than "
    f"{strategies.FEW_IMAGES}, the features behind a block in the middle tell the images apart "
    "better than the last ones do, which are then made for other images",
    "partial": f"from {strategies.FEW_IMAGES} images per class on",
    "solved": "else only the head is solved; and where fine-tuning from it is no better on the "
    "validation images, it is kept",
}
"""What the strategy auto does, and when."""

HEAD_IS = {SOLVE: "solved", TRAIN: "trained"}


@dataclass(frozen=True)
class Solver:
    """What is done with the head.

    Attributes:
        name: "solve" or "train".
        why: The reason, part of a sentence.
    """

    name: str
    why: str


def solver_of(config: RunConfig, *, images: int, outputs: int, features: int) -> Solver:
    """Settle whether the head is solved.

    Args:
        config: The options.
        images: Number of training images.
        outputs: Classes, or numbers to predict.
        features: How many enter the head.

    Raises:
        ValueError: If the head is to be solved and cannot be.
    """
    if config.solver == SOLVE:
        if config.hidden_units:
            raise ValueError(
                "`solver` must be train with `hidden_units`, whose layers cannot be solved. "
                f"Received: solver='solve', hidden_units={config.hidden_units}. Leave one out."
            )
        return Solver(SOLVE, "as asked")
    if config.solver == TRAIN:
        return Solver(TRAIN, "as asked")
    default = RunConfig()
    given = [name for name in TRAINING_OPTIONS if getattr(config, name) != getattr(default, name)]
    if given:
        flags = ", ".join(name.replace("_", "-") for name in given)
        return Solver(TRAIN, f"because of {flags}; --solver solve would solve it first")
    values = float(images) * outputs * features
    if values > _MOST_VALUES:
        return Solver(
            TRAIN,
            f"because {images:,} images of {outputs:,} classes are solved more slowly than trained",
        )
    return Solver(SOLVE, "to convergence, its penalty chosen by folds")


def is_left_to_evidence(config: RunConfig, *, has_validation: bool) -> bool:
    """Whether the solved head is to show if fine-tuning is worth while.

    Args:
        config: The options, the solver settled.
        has_validation: Whether there are images to judge both on.
    """
    is_auto = config.strategy == AUTO and config.freeze_through is None and not config.phase
    return is_auto and config.solver == SOLVE and has_validation


def batch_size_of(config: RunConfig, solver: Solver, *, images: int) -> int:
    """Images per step; of the batch size auto the most.

    Args:
        config: The options.
        solver: What is done with the head.
        images: Number of training images.
    """
    if isinstance(config.batch_size, int):
        return config.batch_size
    return SMALL_BATCH_SIZE if solver.name == SOLVE and images < FEW_IMAGES else BATCH_SIZE


def with_lengths(config: RunConfig, solver: Solver, *, steps_per_epoch: int) -> RunConfig:
    """The options with the solver, the epochs and the batch norms settled.

    Args:
        config: The options, the batch size settled.
        solver: What is done with the head.
        steps_per_epoch: Batches of the training images.
    """
    epochs = config.epochs
    if epochs is None and solver.name == TRAIN:
        epochs = TRAINED_EPOCHS
    elif epochs is None:
        epochs = max(math.ceil(FINE_TUNING_STEPS / steps_per_epoch), FINE_TUNING_EPOCHS)
    statistics = FROZEN if solver.name == SOLVE else TRAIN_STATISTICS
    return replace(
        config, solver=solver.name, epochs=epochs, batch_norm=config.batch_norm or statistics
    )
