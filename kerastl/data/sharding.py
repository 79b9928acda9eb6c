"""Each process's part of the data of `fit` and `evaluate`: some images of each batch."""

from __future__ import annotations

import weakref
from typing import Any

from torch.utils.data import DistributedSampler, IterableDataset, SequentialSampler

from kerastl.data.ordering import SeededOrder
from kerastl.data.part_of_batches import CollatePart, PartOfBatches
from kerastl.internals.keras_adapters import AdapterAround
from kerastl.internals.loaders import is_data_loader, remade
from kerastl.processes.group import Group, current

_WHAT = "arrays, what `load_data` gives, or a DataLoader that makes batches of numbered images"
_parts: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()


class PartOfArrays(AdapterAround):
    """Keras's batches of arrays, of which this process has its part; their size is that of all.

    Args:
        inner: Keras's own adapter.
        group: The processes.
    """

    def __init__(self, inner: Any, group: Group) -> None:
        super().__init__(inner)
        self._group = group

    def get_torch_dataloader(self) -> Any:
        """A loader of this process's part of each batch."""
        return _cut(self._inner.get_torch_dataloader(), self._group)


def part_of_adapter(adapter: Any) -> Any:
    """Keras's adapter of arrays, cut where several processes train together."""
    group = current()
    return adapter if group is None else PartOfArrays(adapter, group)


def part_of_loader(loader: Any, group: Group) -> Any:
    """A loader that gives this process's part of each batch; the same one for the same loader.

    Args:
        loader: A `DataLoader` of the user's or of `load_data`.
        group: The processes.

    Raises:
        ValueError: If its batches are not of numbered images, or are cut already.
    """
    check_can_cut(loader, group)
    if loader not in _parts:
        _parts[loader] = _cut(loader, group)
    return _parts[loader]


def check_can_cut(x: Any, group: Group) -> None:
    """Refuse data that this process cannot take its part of.

    Args:
        x: What `fit` or `evaluate` was given, arrays aside.
        group: The processes.

    Raises:
        ValueError: If it is no loader of numbered images, is cut already, or has
            fewer images in a batch than there are processes.
    """
    if not is_data_loader(x) or isinstance(x.dataset, IterableDataset) or x.batch_sampler is None:
        what = "a DataLoader that cannot be cut" if is_data_loader(x) else type(x).__name__
        raise ValueError(
            f"Data of several processes must be {_WHAT}. Received: {what}. Give one of these, or "
            "start one process."
        )
    samplers = (x.batch_sampler, getattr(x.batch_sampler, "sampler", None))
    if any(isinstance(each, DistributedSampler) for each in samplers):
        raise ValueError(
            "A DataLoader must give the batches of all processes: each takes its part by itself. "
            "Received: one with a DistributedSampler. Leave the sampler out, and let batch_size "
            "be that of all processes together."
        )
    check_enough(len(x.dataset), x.batch_size, group)


def check_enough(num_images: int, batch_size: int | None, group: Group) -> None:
    """Refuse fewer images, in all or in a batch, than there are processes.

    Args:
        num_images: Images in all.
        batch_size: Images of a batch, on all processes; None: not known.
        group: The processes.

    Raises:
        ValueError: If so.
    """
    world = group.world_size
    if num_images < world:
        raise ValueError(
            f"There must be an image for each of the {world} processes. Received: {num_images} "
            "images. Start fewer processes."
        )
    if batch_size is not None and batch_size < world:
        raise ValueError(
            f"`batch_size`, that of all processes together, must be {world} or more for {world} "
            f"processes. Received: batch_size={batch_size}. Raise it, or start fewer processes."
        )


def _cut(loader: Any, group: Group) -> Any:
    sampler = getattr(loader.batch_sampler, "sampler", None)
    is_known = isinstance(sampler, SeededOrder | SequentialSampler)
    return remade(
        loader,
        collate=CollatePart(loader.collate_fn),
        batch_sampler=PartOfBatches(loader.batch_sampler, group, is_known=is_known),
    )
