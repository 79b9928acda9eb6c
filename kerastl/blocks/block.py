"""Blocks: named, ordered slices of the model, and which of them train.

A block is a slice of the backbone that is coarse enough to say aloud: `stem`,
`layer1` ... `layer4`. The classification part is the block `head`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kerastl.errors import UnknownNameError, unknown_name

if TYPE_CHECKING:
    pass

HEAD = "head"

IMAGES = "images"
"""Name of the model's input."""


@dataclass(frozen=True)
class Block:
    """One block of a model as it stands now.

    Attributes:
        name: Its name, unique in the model.
        layers: The Keras layers that hold it.
        num_parameters: Parameters, frozen or not; moving statistics do not count.
        trainable: False where the block is frozen.
    """

    name: str
    layers: tuple[Any, ...]
    num_parameters: int
    trainable: bool


def unknown_block(name: str, known: Sequence[str], *, listing: str = "Blocks") -> UnknownNameError:
    """The error for a block that is not among those that may be named.

    Args:
        name: What was named.
        known: The blocks that may be.
        listing: What they are called in the sentence.
    """
    return unknown_name("block", name, known, how_to_list=f"{listing}: {', '.join(known)}.")


def select(
    known: Sequence[str], names: Sequence[str], *, through: str | None = None
) -> tuple[str, ...]:
    """The blocks that a call to `freeze` or `unfreeze` means.

    Args:
        known: Every block, input side first, the head last.
        names: Blocks by name.
        through: The input side up to and including this block.

    Returns:
        Names in forward order.

    Raises:
        UnknownNameError: If there is no such block.
        ValueError: If both forms are used, or `through` names the head.

    Example:

    >>> select(["stem", "layer1", "layer2", "head"], [], through="layer1")
    ('stem', 'layer1')
    """
    for name in (*names, *([through] if through is not None else [])):
        if name not in known:
            raise unknown_block(name, known)
    if through is None:
        return tuple(name for name in known if name in names)
    if names:
        raise ValueError(
            f"`freeze` takes block names or `through`, not both. Received: {', '.join(names)} and "
            f"through={through!r}."
        )
    if through == HEAD:
        raise ValueError(
            "`through` must name a block before the head. Received: through='head', which "
            "leaves nothing to train."
        )
    return tuple(known[: list(known).index(through) + 1])
