"""A process's part of each batch: which images, and what comes where it has none.

Worker processes import it: no Keras here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import Sampler

from kerastl.processes.group import Group


class Blank:
    """A batch without images: another process has some."""

    def __repr__(self) -> str:
        return "Blank()"


class PartOfBatches(Sampler[list[int]]):
    """Of each batch of numbers every so manieth, beginning at the number of this process.

    The batches are those of process 0, so that random orders need no common seed.

    Args:
        batches: Draws the batches of an epoch, alike in number on each process.
        group: The processes.
        is_known: Whether all processes are known to draw the same.

    Attributes:
        sampler: What draws the single numbers, where `batches` says it.
    """

    def __init__(self, batches: Any, group: Group, *, is_known: bool) -> None:
        self._batches = batches
        self._group = group
        self._is_known = is_known
        self.sampler = getattr(batches, "sampler", None)

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[list[int]]:
        batches = self._batches
        if not self._is_known:
            batches = self._group.handed_on([list(batch) for batch in batches])
        for batch in batches:
            yield list(batch)[self._group.rank :: self._group.world_size]


class CollatePart:
    """A collate function that gives `Blank` where no image is left.

    Args:
        collate: Makes a batch of samples; None stands for one that is left out.

    Attributes:
        inner: `collate`.
    """

    def __init__(self, collate: Any) -> None:
        self.inner = collate

    def __call__(self, samples: Any) -> Any:
        if isinstance(samples, Sequence) and all(sample is None for sample in samples):
            return Blank()
        return self.inner(samples)

    def __repr__(self) -> str:
        return repr(self.inner)
