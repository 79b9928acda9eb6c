"""Choose which blocks a run trains and at what rates."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kerastl.blocks.block import HEAD, unknown_block
from kerastl.errors import unknown_name
from kerastl.optimizers.schedules import layerwise_decay

FEW_IMAGES = 100
MANY_IMAGES = 1000


@dataclass(frozen=True)
class Strategy:
    """What one run trains.

    Attributes:
        name: "feature-extraction", "partial" or "full".
        frozen: Names of the frozen blocks, input side first.
        rates: Highest learning rate of each trained block, per optimizer step.
        head_rate: The rate that the others were worked out from.
        reason: Why, in one sentence, with the numbers that decided.
    """

    name: str
    frozen: tuple[str, ...]
    rates: Mapping[str, float]
    head_rate: float
    reason: str

    @property
    def freeze_through(self) -> str | None:
        """The last frozen block, or None."""
        return self.frozen[-1] if self.frozen else None


@dataclass(frozen=True)
class _Recipe:
    """One named strategy.

    Attributes:
        frozen_count: From the number of blocks before the head to how many
            of them are frozen.
        head_rate: Default rate of the head, for Adam.
        backbone_factor: Rate of the trained blocks before the head over the head's.
        what: What it does, in words.
    """

    frozen_count: Callable[[int], int]
    head_rate: float
    backbone_factor: float
    what: str


def _half(count: int) -> int:
    return min(math.ceil(count / 2), max(count - 1, 0))


_RECIPES: dict[str, _Recipe] = {
    "feature-extraction": _Recipe(lambda count: count, 3e-3, 1.0, "only the head trains"),
    "partial": _Recipe(_half, 3e-3, 0.3, "the later blocks and the head train"),
    "full": _Recipe(lambda count: 0, 1e-3, 0.1, "every block trains, at a small rate"),
}
# From the solved head the backbone has more to learn than the head, and less is undone at a
# smaller rate of the head: `benchmarks/accuracy/fine_tuning.py` has the experiment.
_FROM_SOLVED = {
    "partial": _Recipe(_half, 1e-4, 3.0, "the later blocks train from the solved head"),
    "full": _Recipe(lambda count: 0, 1e-4, 3.0, "every block trains from the solved head"),
    "feature-extraction": _Recipe(lambda count: count, 1e-4, 1.0, "only the head is solved"),
}
AUTO = "auto"
FEATURE_EXTRACTION = "feature-extraction"
GRADUAL = "gradual"
"""Several phases: see `kerastl.runs.phases`."""

SOLVE, TRAIN = "solve", "train"
SOLVERS = (AUTO, SOLVE, TRAIN)
"""What is done with the head: see `kerastl.runs.solver`."""

NAMES: tuple[str, ...] = (AUTO, *_RECIPES, GRADUAL)
# Plain SGD steps by the gradient itself, Adam by about the rate whatever the gradient.
_OPTIMIZER_FACTORS = {"sgd": 10.0}


@dataclass(frozen=True)
class Wishes:
    """What the user asked of the strategy.

    Attributes:
        strategy: One of `NAMES`.
        freeze_through: Last frozen block of "partial". None: about half way.
        learning_rate: Highest rate of the head. None: the strategy's own.
        block_rate: Rates of single blocks; they win over everything else.
        layerwise_decay: Factor from each block's rate to the one before it.
            None: one rate for all trained blocks before the head.
        optimizer: Name of the optimizer, for the default rate.
        solver: "solve": training starts from the solved head; "train": from a
            random one.
    """

    strategy: str = AUTO
    freeze_through: str | None = None
    learning_rate: float | None = None
    block_rate: Mapping[str, float] | None = None
    layerwise_decay: float | None = None
    optimizer: str = "adam"
    solver: str = TRAIN

    @property
    def recipes(self) -> Mapping[str, _Recipe]:
        """The strategies, each with its default rates."""
        return _FROM_SOLVED if self.solver == SOLVE else _RECIPES


def choose(wishes: Wishes, blocks: Sequence[str], *, images: int, num_classes: int) -> Strategy:
    """Settle the frozen blocks and the rate of each trained one.

    Args:
        wishes: What was asked.
        blocks: Every block of the model, input side first, the head last.
        images: Number of training images.
        num_classes: Number of classes.

    Returns:
        The strategy, with a rate for every block that is not frozen.

    Raises:
        UnknownNameError: If a strategy or a block does not exist.
        ValueError: If two wishes contradict each other.

    Example:

    >>> strategy = choose(Wishes(), ["stem", "layer1", "head"], images=120, num_classes=3)
    >>> strategy.name, strategy.frozen, dict(strategy.rates)
    ('feature-extraction', ('stem', 'layer1'), {'head': 0.003})
    """
    name, reason = _name(wishes, images=images, num_classes=num_classes)
    recipe = wishes.recipes[name]
    backbone = [block for block in blocks if block != HEAD]
    count = recipe.frozen_count(len(backbone))
    if wishes.freeze_through is not None:
        count = _frozen_through(wishes.freeze_through, backbone, name=name)
    head_rate = wishes.learning_rate
    if head_rate is None:
        head_rate = recipe.head_rate * _OPTIMIZER_FACTORS.get(wishes.optimizer, 1.0)
    rates = _rates(recipe, head_rate, wishes.layerwise_decay, blocks)
    frozen = tuple(backbone[:count])
    _check_block_rates(wishes.block_rate or {}, blocks, frozen)
    trained = {block: rates[block] for block in blocks if block not in frozen}
    return Strategy(name, frozen, trained | dict(wishes.block_rate or {}), head_rate, reason)


def _name(wishes: Wishes, *, images: int, num_classes: int) -> tuple[str, str]:
    if wishes.strategy not in NAMES:
        raise unknown_name(
            "strategy", wishes.strategy, NAMES, how_to_list=f"Strategies: {', '.join(NAMES)}."
        )
    if wishes.strategy == GRADUAL:
        one_phase = [name for name in NAMES if name != GRADUAL]
        raise ValueError(
            f"`strategy` of one phase must be {', '.join(one_phase)}. Received: "
            f"strategy={GRADUAL!r}, which has several phases. Say it for the whole run."
        )
    if wishes.strategy != AUTO:
        name, why = wishes.strategy, "as asked"
    elif wishes.freeze_through is not None:
        name, why = "partial", f"as asked with a freeze through {wishes.freeze_through}"
    else:
        name, why = by_images(images, num_classes)
    return name, f"{name}: {why}, so {wishes.recipes[name].what}."


def by_images(images: int, num_classes: int) -> tuple[str, str]:
    """The strategy that the rule of thumb has for so many images, and their number in words."""
    per_class = images / num_classes
    counted = f"{per_class:.0f} images per class ({images} for {num_classes} classes)"
    if per_class < FEW_IMAGES:
        return "feature-extraction", f"{counted} are fewer than {FEW_IMAGES}"
    if per_class < MANY_IMAGES:
        return "partial", f"{counted} are between {FEW_IMAGES} and {MANY_IMAGES}"
    return "full", f"{counted} are {MANY_IMAGES} or more"


def _frozen_through(block: str, backbone: Sequence[str], *, name: str) -> int:
    if block not in backbone:
        raise unknown_block(block, backbone, listing="Blocks before the head")
    count = backbone.index(block) + 1
    if name == "full" or (name == "feature-extraction" and count < len(backbone)):
        raise ValueError(
            f"`freeze_through` must be left out with strategy={name!r}. Received: "
            f"freeze_through={block!r}. Use the strategy 'partial', or leave one of the two out."
        )
    return count


def _rates(
    recipe: _Recipe, head_rate: float, decay: float | None, blocks: Sequence[str]
) -> dict[str, float]:
    if decay is not None:
        return layerwise_decay(head_rate, decay).rates(list(blocks))
    rest = head_rate * recipe.backbone_factor
    return {block: head_rate if block == HEAD else rest for block in blocks}


def _check_block_rates(
    block_rate: Mapping[str, float], blocks: Sequence[str], frozen: Sequence[str]
) -> None:
    trained = [block for block in blocks if block not in frozen]
    for block, rate in block_rate.items():
        if block not in blocks:
            raise unknown_block(block, blocks)
        if block in frozen:
            raise ValueError(
                f"`block_rate` must name trained blocks. Received: {block}={rate}, but {block} is "
                f"frozen. Trained blocks: {', '.join(trained)}. Freeze less, or leave it out."
            )
