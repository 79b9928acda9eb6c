"""How deep to freeze: where along the blocks the features of these images are best."""

from __future__ import annotations

from collections.abc import Sequence

from kerastl.runs.picking.results import BlockScore

CLEARLY_LOWER = 0.93
"""Ratio of losses below which a middle block is better than the last: a measured rule."""


def deepest_useful(scores: Sequence[BlockScore]) -> str | None:
    """The block before the last with the lowest loss, where that is clearly below the last's.

    Then the last blocks have learnt what these images do not have, and
    training them gains.

    Args:
        scores: Of every block, input side first.

    Example:

    >>> from kerastl.runs.picking.results import Estimate
    >>> scores = [BlockScore(n, Estimate(0, 0, 0, loss)) for n, loss in (("a", 0.5), ("b", 0.9))]
    >>> deepest_useful(scores), deepest_useful(scores[::-1])
    ('a', None)
    """
    if len(scores) < 2:
        return None
    best = min(scores[:-1], key=lambda score: score.estimate.loss)
    return best.name if loss_ratio(scores) < CLEARLY_LOWER else None


def loss_ratio(scores: Sequence[BlockScore]) -> float:
    """The lowest loss of the blocks before the last, over that of the last."""
    last = max(scores[-1].estimate.loss, 1e-12)
    return min((score.estimate.loss for score in scores[:-1]), default=last) / last


def depths_to_try(blocks: Sequence[str], scores: Sequence[BlockScore]) -> list[str]:
    """Where a partial fine-tuning may freeze through, the likeliest first.

    Args:
        blocks: Every block before the head, input side first.
        scores: Of every block; empty where they were not measured.
    """
    if len(blocks) < 2:
        return []
    half = blocks[(len(blocks) + 1) // 2 - 1]
    useful = deepest_useful(scores)
    return list(dict.fromkeys([useful, half] if useful else [half]))
