"""Metrics over the images of all processes.

A metric of Keras adds to variables that start at zero: what each process adds for
its share of a batch is summed, so that all have the numbers of one process.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from kerastl.processes.share import Share

_KNOWN = ("keras", "kerastl")


def check_additive(metrics: Sequence[Any]) -> None:
    """Refuse metrics that may not be sums over images.

    Args:
        metrics: Those of a model, or groups of them.

    Raises:
        ValueError: If one is of the user's own class and does not say `is_additive`.
    """
    for metric in _single(metrics):
        update: Any = type(metric).update_state
        home = str(getattr(update, "__globals__", {}).get("__name__", ""))
        own = home.partition(".")[0] not in _KNOWN
        if own and getattr(metric, "is_additive", None) is not True:
            raise ValueError(
                "Metrics of several processes must add up what each image gives. Received: "
                f"{metric.name}, of the class {type(metric).__name__}, of which that is not known. "
                "Set is_additive = True on the class if its variables start at zero and "
                "update_state adds to them; else leave it out, or start one process."
            )


def _single(metrics: Sequence[Any]) -> Iterator[Any]:
    for metric in metrics:
        inner = getattr(metric, "metrics", None)
        if inner:
            yield from _single(inner)
        elif isinstance(metric, keras.metrics.Metric):
            yield metric


@contextlib.contextmanager
def added_up(variables: Sequence[Any], share: Share) -> Iterator[None]:
    """Let variables of metrics have what all processes add to them within the block.

    Args:
        variables: The same on each process.
        share: What this process has of the batch; an image that stands in adds nothing.
    """
    import torch

    if not variables:
        yield
        return
    with torch.no_grad():
        before = [variable.value.detach().clone() for variable in variables]
        for variable in variables:
            variable.value.zero_()
    yield
    with torch.no_grad():
        # Float64, in which sums of counts are exact.
        added = [variable.value.detach().double() for variable in variables]
        if not share.count:
            added = [torch.zeros_like(value) for value in added]
        share.group.add(added)
        for variable, start, value in zip(variables, before, added, strict=True):
            variable.assign((start.double() + value).to(start.dtype))
