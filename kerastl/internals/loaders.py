"""Torch's `DataLoader`: made anew with one thing changed, and the fate of its worker processes."""

from __future__ import annotations

import copy
import signal
import threading
import time
from collections.abc import Callable
from typing import Any


def remade(
    loader: Any,
    *,
    dataset: Any = None,
    collate: Callable[[Any], Any] | None = None,
    batch_sampler: Any = None,
) -> Any:
    """The same loader, of the same class, with another data set or collate function.

    It draws from the same samplers and generator, and has worker processes of its own.

    Args:
        loader: A `torch.utils.data.DataLoader`.
        dataset: In the place of its data set, of as many samples. None: its own.
        collate: In the place of its collate function. None: its own.
        batch_sampler: In the place of its sampler of batches. None: its own.
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
    if batch_sampler is not None:
        object.__setattr__(made, "batch_sampler", batch_sampler)  # refused likewise
    return made


def is_data_loader(x: Any) -> bool:
    """Whether `x` is a torch `DataLoader`."""
    try:
        from torch.utils.data import DataLoader
    except ImportError:
        return False
    return isinstance(x, DataLoader)


# The system tells the death of a process a little later than its pipe breaks.
_TOLD_AFTER = 1.0


def worker_fate(batches: Any, error: Exception) -> tuple[str, str] | None:
    """Number of a worker process that has ended, and the signal that ended it, "" if none did.

    Args:
        batches: A `DataLoader`, or an iterator of one.
        error: What it has raised.

    Returns:
        None where all of them are alive, or there are none.
    """
    # Torch 2.14 keeps the iterator with persistent workers in `_iterator`, and the processes of
    # an iterator in `_workers`.
    workers = getattr(getattr(batches, "_iterator", None) or batches, "_workers", ())
    broken = isinstance(error, (ConnectionError, EOFError, FileNotFoundError))
    until = time.monotonic() + (_TOLD_AFTER if workers and broken else 0)
    while True:
        for worker in workers:
            if not worker.is_alive() and worker.exitcode:
                code = worker.exitcode
                return str(worker.pid), (signal.strsignal(-code) or "") if code < 0 else ""
        if time.monotonic() >= until:
            return None
        time.sleep(0.02)


def let_workers_end() -> None:
    """From now on no worker process that has ended raises an error in this one, which is to end.

    Torch raises one whenever a child process ends while a dead worker is still on its list: in
    the middle of whatever writes down what is kept.
    """
    number = getattr(signal, "SIGCHLD", None)
    if number is None or threading.current_thread() is not threading.main_thread():
        return
    if str(getattr(signal.getsignal(number), "__module__", "")).startswith("torch."):
        signal.signal(number, signal.SIG_DFL)
