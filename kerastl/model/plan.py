"""The plan of a run, per block: what trains, and at what rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kerastl.blocks.batch_norm import FROZEN, mode_of
from kerastl.internals.tables import align
from kerastl.optimizers.rates import block_optimizer


@dataclass(frozen=True)
class BlockPlan:
    """One block of a planned run.

    Attributes:
        name: Name of the block.
        num_parameters: Parameters, frozen or not; moving statistics do not count.
        trainable: False where the block is frozen.
        batch_norm: "updates statistics", "frozen statistics", "frozen
            statistics, trains scale and shift", or "none".
        rate_start: Learning rate of the first step; None where it is frozen.
        rate_middle: Likewise, half way.
        rate_end: Likewise, of the last step.
    """

    name: str
    num_parameters: int
    trainable: bool
    batch_norm: str
    rate_start: float | None
    rate_middle: float | None
    rate_end: float | None


def block_plan(model: Any, total_steps: int) -> tuple[BlockPlan, ...]:
    """Each block of a compiled classifier, input side first.

    Args:
        model: The classifier.
        total_steps: Batches of the whole run; 0: nothing trains step by step.

    Raises:
        ValueError: If the model is not compiled.
    """
    optimizer = block_optimizer(model)
    steps = (0, (total_steps - 1) // 2, max(total_steps - 1, 0))
    rows = []
    for block in model.blocks:
        rates: Sequence[float | None] = (None,) * 3
        if total_steps and block.trainable and block.name in optimizer.blocks_with_rates:
            rates = [optimizer.rate_at(block.name, step) for step in steps]
        mode = _batch_norm(block)
        rows.append(BlockPlan(block.name, block.num_parameters, block.trainable, mode, *rates))
    return tuple(rows)


def plan_table(rows: Sequence[BlockPlan], *, trained: str = "yes") -> str:
    """The plan as text, one line per block and a line of totals.

    Args:
        rows: The blocks.
        trained: What is said of a block that is not frozen.
    """
    header = ("block", "parameters", "trains", "batch norm", "rate: start", "middle", "end")
    lines = [
        (
            row.name,
            f"{row.num_parameters:,}",
            trained if row.trainable else "frozen",
            row.batch_norm,
            *(_rate(rate) for rate in (row.rate_start, row.rate_middle, row.rate_end)),
        )
        for row in rows
    ]
    training = sum(row.num_parameters for row in rows if row.trainable)
    total = sum(row.num_parameters for row in rows)
    table = align([header, *lines], right=(1, 4, 5, 6))
    return f"{table}\n{training:,} of {total:,} parameters are in blocks that train."


def _rate(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.3g}"


def _batch_norm(block: Any) -> str:
    mode = mode_of(block.layers[0])
    if mode is None:
        return "none"
    if mode == FROZEN:
        return "frozen statistics" + (", trains scale and shift" if block.trainable else "")
    return "updates statistics"
