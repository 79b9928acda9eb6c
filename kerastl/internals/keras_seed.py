"""Keras's own random numbers."""

from __future__ import annotations

from keras.src.backend.common import global_state


def forget_seed_generator() -> None:
    """Let Keras make a new generator of seeds, from Python's random numbers, when it needs one.

    `keras.utils.set_random_seed` does so too (Keras 3.15), but imports
    TensorFlow where it is installed: seconds, and threads that keep worker
    processes from being forked.
    """
    global_state.set_global_attribute("global_seed_generator", None)
