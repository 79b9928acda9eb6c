"""A process's share of the batch that all processes are at, and what goes by it.

The loss of a process is the mean over its own images. Weighted by its share of the
batch, the sum over the processes is the mean over all: so are the gradients, uneven
batches and accumulated ones included.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kerastl.processes.group import Group


@dataclass(frozen=True)
class Share:
    """What this process has of a batch.

    Attributes:
        group: The processes.
        count: Its images; 0 where another process's image stands in, and counts nothing.
        total: Images of all processes.
    """

    group: Group
    count: int
    total: int


_now: Share | None = None


def now() -> Share | None:
    """The share of the batch that is under way; None where this process trains by itself."""
    return _now


@contextlib.contextmanager
def sharing(share: Share) -> Iterator[None]:
    """Train or evaluate a batch within the block as a share of a larger one."""
    global _now
    before, _now = _now, share
    try:
        yield
    finally:
        _now = before


def weighted_loss(loss: Any) -> Any:
    """The loss of a batch, weighted by this process's share."""
    return loss if _now is None else loss * (_now.count / _now.total)


def summed_gradients(gradients: Sequence[Any]) -> Sequence[Any]:
    """Gradients of weighted losses, summed over the processes in place."""
    if _now is not None:
        _now.group.add(gradients)
    return gradients


def everywhere(is_so: Any) -> Any:
    """Whether something is so on all processes, as a tensor: the same on each."""
    if _now is None:
        return is_so
    import torch

    count = torch.as_tensor(is_so).to(torch.float32).reshape(1)
    _now.group.add([count])
    return count[0] > _now.group.world_size - 0.5


def images_of_all(count: int) -> int:
    """Images of the batch on all processes, of which this one has `count`."""
    return count if _now is None else _now.total
