"""Which backends there are, and whether Keras can run on one here; imports none of them."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

from kerastl.errors import unknown_name
from kerastl.internals.triton import keep_away_from_tensorflow

BACKENDS = ("torch", "jax", "tensorflow")


def check_installed(backend: str) -> None:
    """Refuse a backend that is unknown or not installed.

    Raises:
        UnknownNameError: If there is no such backend; lists all.
        ValueError: If it is not installed; says how to install it.
    """
    if backend not in BACKENDS:
        listing = f"Backends: {', '.join(BACKENDS)}."
        raise unknown_name("backend", backend, BACKENDS, how_to_list=listing)
    if find_spec(backend) is None:
        raise ValueError(
            f"`backend` must be installed. Received: backend={backend!r}. "
            f'Run `pip install "kerastl[{backend}]"`.'
        )


def check_available(backend: str) -> None:
    """Refuse a backend that this process cannot run on.

    Raises:
        UnknownNameError: If there is no such backend; lists all.
        ValueError: If it is not installed, or Keras runs on another.
    """
    check_installed(backend)
    keras = sys.modules.get("keras")
    if keras is not None and keras.backend.backend() != backend:
        raise ValueError(
            f"`backend` must be {keras.backend.backend()!r}, which Keras already runs on. "
            f"Received: backend={backend!r}. Set KERAS_BACKEND before Keras is imported."
        )


def choose(backend: str) -> None:
    """Make Keras run on this backend; Keras reads the choice once, when it is imported.

    Raises:
        UnknownNameError: If there is no such backend; lists all.
        ValueError: If it is not installed, or Keras runs on another.
    """
    check_available(backend)
    os.environ["KERAS_BACKEND"] = backend
    keep_away_from_tensorflow()
