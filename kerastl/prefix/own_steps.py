"""Which steps of a model are the user's own: what they do with the images is not known."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

TAKES_IMAGES = (
    "__call__",
    "call",
    "train_step",
    "test_step",
    "compute_loss",
    "compute_metrics",
    "make_train_function",
    "make_test_function",
    "stateless_call",
    "stateless_compute_loss",
    "compute_loss_and_updates",
)
"""Methods of a Keras model that get a batch's images."""

_KNOWN = ("keras", "kerastl")


def own_steps(model: Any, names: Sequence[str] = TAKES_IMAGES) -> tuple[str, ...]:
    """Names of the methods that a subclass overrides, or that were assigned to this model.

    Args:
        model: The classifier.
        names: Methods that are asked for.
    """
    return tuple(name for name in names if name in vars(model) or not _is_known(type(model), name))


def _is_known(kind: type, name: str) -> bool:
    function = inspect.getattr_static(kind, name, None)
    if function is None:
        return True
    # Its globals, since `functools.wraps` takes the module's name over.
    home = str(getattr(function, "__globals__", {}).get("__name__", ""))
    return home.partition(".")[0] in _KNOWN
