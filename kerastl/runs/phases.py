"""The phases of a run: stretches with one set of frozen blocks and one set of rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kerastl.blocks.batch_norm import TRAIN
from kerastl.blocks.block import HEAD
from kerastl.runs.config import RunConfig, of_phase
from kerastl.runs.solver import TRAINED_EPOCHS
from kerastl.runs.strategies import (
    FEATURE_EXTRACTION,
    GRADUAL,
    SOLVE,
    Strategy,
    Wishes,
    choose,
)


@dataclass(frozen=True)
class Phase:
    """A stretch of training.

    Attributes:
        strategy: What trains, at what rates, and why.
        schedule: How the rates change over the phase.
        epochs: Passes over the training images, at most; 0: the head is solved.
        patience: Epochs without a better score that end it; None: no end but the last.
        batch_norm: What batch norms of blocks that train do with their statistics.
    """

    strategy: Strategy
    schedule: str
    epochs: int
    patience: int | None = None
    batch_norm: str = TRAIN


def phases_of(
    config: RunConfig, blocks: Sequence[str], *, images: int, num_classes: int
) -> tuple[Phase, ...]:
    """The phases that the options ask for: a list of them, a gradual unfreezing, or one.

    Args:
        config: The options.
        blocks: Every block of the model, input side first, the head last.
        images: Number of training images.
        num_classes: Number of classes.

    Raises:
        UnknownNameError: If a strategy or a block does not exist.
        ValueError: If two options contradict each other.
    """
    if config.phase:
        parts = [of_phase(config, overrides) for overrides in config.phase]
    elif config.strategy == GRADUAL:
        return _gradual(config, blocks)
    else:
        parts = [config]
    phases = []
    for part in parts:
        chosen = choose(_wishes(part), blocks, images=images, num_classes=num_classes)
        is_solved = part.solver == SOLVE and chosen.name == FEATURE_EXTRACTION
        epochs = 0 if is_solved else part.epochs or TRAINED_EPOCHS
        mode = part.batch_norm or TRAIN
        phases.append(Phase(chosen, part.schedule, epochs, part.patience, mode))
    return tuple(phases)


def as_options(phases: Sequence[Phase]) -> tuple[dict[str, Any], ...]:
    """What the config file says of each phase so that it comes out the same again."""
    return tuple(
        {
            "strategy": phase.strategy.name,
            "freeze_through": _frozen_through(phase.strategy),
            "epochs": phase.epochs,
            "schedule": phase.schedule,
            "batch_norm": phase.batch_norm,
            "learning_rate": phase.strategy.head_rate,
            "patience": phase.patience,
            "block_rate": dict(phase.strategy.rates),
        }
        for phase in phases
    )


def gradual_counts(
    num_blocks: int, epochs: int, *, from_solved: bool = False
) -> list[tuple[int, int]]:
    """Frozen blocks and epochs of each phase of a gradual unfreezing (Howard and Ruder, 2018).

    The head trains first, unless it is solved already; each phase unfreezes
    the next block from the head down, several at a time where there are fewer
    epochs than blocks. The last phase, where all train, has the epochs that
    are left over.

    Args:
        num_blocks: Blocks before the head.
        epochs: Epochs of the whole run.
        from_solved: Whether the head is solved already.

    Example:

    >>> gradual_counts(2, 7, from_solved=True)
    [(1, 3), (0, 4)]
    >>> gradual_counts(2, 7)
    [(2, 2), (1, 2), (0, 3)]
    >>> gradual_counts(4, 3)
    [(4, 1), (2, 1), (0, 1)]
    """
    first = max(num_blocks - 1, 0) if from_solved else num_blocks
    count = min(first + 1, epochs)
    if count == 1:
        return [(0 if from_solved else num_blocks, epochs)]
    each = epochs // count
    lengths = [each] * (count - 1) + [epochs - each * (count - 1)]
    frozen = [first - round(number * first / (count - 1)) for number in range(count)]
    return list(zip(frozen, lengths, strict=True))


def _gradual(config: RunConfig, blocks: Sequence[str]) -> tuple[Phase, ...]:
    if config.freeze_through is not None:
        raise ValueError(
            "`freeze_through` must be left out with strategy='gradual', which ends with every "
            f"block trained. Received: freeze_through={config.freeze_through!r}. Write a "
            "[[phase]] list to stop before that; `kerastl plan --write FILE` gives one to edit."
        )
    backbone = [block for block in blocks if block != HEAD]
    counts = gradual_counts(
        len(backbone), config.epochs or TRAINED_EPOCHS, from_solved=config.solver == SOLVE
    )
    wishes = _wishes(config)
    # Refuses a block that does not exist: each phase below takes only the rates that it needs.
    choose(replace(wishes, strategy="full"), blocks, images=1, num_classes=1)
    mode = config.batch_norm or TRAIN
    phases = []
    for number, (frozen, epochs) in enumerate(counts, 1):
        name = "feature-extraction" if frozen == len(backbone) else "partial" if frozen else "full"
        trained = blocks[frozen:]
        part = replace(
            wishes,
            strategy=name,
            freeze_through=backbone[frozen - 1] if name == "partial" else None,
            block_rate=_only(config.block_rate, trained),
        )
        strategy = choose(part, blocks, images=1, num_classes=1)
        what = f"{', '.join(trained)}" if frozen else "every block"
        reason = f"gradual, phase {number} of {len(counts)}, trains {what}."
        strategy = replace(strategy, reason=reason)
        phases.append(Phase(strategy, config.schedule, epochs, config.patience, mode))
    return tuple(phases)


def _only(rates: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    return {name: rate for name, rate in rates.items() if name in names}


def _frozen_through(strategy: Strategy) -> str | None:
    return strategy.freeze_through if strategy.name == "partial" else None


def _wishes(config: RunConfig) -> Wishes:
    return Wishes(
        strategy=config.strategy,
        freeze_through=config.freeze_through,
        learning_rate=config.learning_rate,
        block_rate=config.block_rate,
        layerwise_decay=config.layerwise_decay,
        optimizer=config.optimizer,
        solver=config.solver,
    )
