"""Notice Ctrl-C, also where a worker process gets it first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def noticing_ctrl_c() -> Iterator[Callable[[], bool]]:
    """Within the block, tell whether Ctrl-C was pressed; it still raises KeyboardInterrupt.

    A data loader whose worker Ctrl-C ended raises a RuntimeError, which may
    take the place of the KeyboardInterrupt.

    Yields:
        A function that says whether it was pressed. Outside the main thread,
        where no signal arrives, it never was.
    """
    pressed = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        pressed.set()
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield pressed.is_set
        return
    before = signal.signal(signal.SIGINT, handle)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)
