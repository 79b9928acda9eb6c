"""A torch `DataLoader` made anew with one thing changed, everything else as the user set it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any


def remade(loader: Any, *, dataset: Any = None, collate: Callable[[Any], Any] | None = None) -> Any:
    """The same loader, of the same class, with another data set or collate function.

    It draws from the same samplers and generator, and has worker processes of its own.

    Args:
        loader: A `torch.utils.data.DataLoader`.
        dataset: In the place of its data set, of as many samples. None: its own.
        collate: In the place of its collate function. None: its own.
    """
    made = copy.copy(loader)
    # Torch 2.14: a loader with persistent workers keeps its iterator in `_iterator`; two loaders
    # cannot share one.
    made._iterator = None
    if collate is not None:
        made.collate_fn = collate
    if dataset is not None:
        # Torch 2.14 refuses another data set once a loader is made, as its sampler may be for the
        # old one: here both have the same numbers.
        object.__setattr__(made, "dataset", dataset)
    return made


def is_data_loader(x: Any) -> bool:
    """Whether `x` is a torch `DataLoader`."""
    try:
        from torch.utils.data import DataLoader
    except ImportError:
        return False
    return isinstance(x, DataLoader)
