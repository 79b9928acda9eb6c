"""Signals that ask a run to end: it finishes the step under way, and says what it keeps."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

CTRL_C = "SIGINT"
SIGNALS = (CTRL_C, "SIGTERM", "SIGHUP", "SIGUSR1", "SIGBREAK")
"""Those that there are of these: a terminal that closes, a cluster that wants its machine back or
announces it; SIGBREAK is Ctrl-Break on Windows."""

# Whoever ends a group of processes often signals one of them twice; a person takes longer.
_AT_ONCE = 1.0


class Stopping:
    """Whether a signal has asked to end, and whether that has to wait.

    Attributes:
        signal: Name of the first signal that came; "" before.
    """

    def __init__(self) -> None:
        self.signal = ""
        self._waits = False
        self._came = 0.0
        self._process = os.getpid()

    def wait(self) -> None:
        """From now on a signal waits for `check`: a step, or what is being saved, is finished."""
        self._waits = True

    def check(self) -> None:
        """End here if a signal came; one that comes from now on ends at once.

        Raises:
            KeyboardInterrupt: If one came, also where Python has dropped the exception of that
                moment: in a fork hook or a finalizer.
        """
        self._waits = False
        if self.signal:
            raise KeyboardInterrupt(self.signal)

    def came(self, number: int, frame: FrameType | None = None) -> None:
        """Take a signal; a second one, later, waits for nothing.

        Raises:
            KeyboardInterrupt: If it does not have to wait.
        """
        if os.getpid() != self._process:  # a worker process that has just been forked
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        again = bool(self.signal) and time.monotonic() - self._came > _AT_ONCE
        if not self.signal:
            self.signal, self._came = signal.Signals(number).name, time.monotonic()
        if not self._waits or again:
            raise KeyboardInterrupt(self.signal)


@contextmanager
def noticing_signals() -> Iterator[Stopping]:
    """Within the block, take the signals that ask to end; afterwards the handlers are as before.

    A data loader whose worker a signal ended raises a RuntimeError, which may take the place of
    the KeyboardInterrupt: ask `Stopping.signal`.

    Yields:
        What tells whether one came. Outside the main thread, where no signal arrives, none does.
    """
    stopping = Stopping()
    if threading.current_thread() is not threading.main_thread():
        yield stopping
        return
    before = {}
    try:
        for name in SIGNALS:
            number = getattr(signal, name, None)
            # `nohup` lets a run go on when its terminal closes.
            if number is None or (name == "SIGHUP" and signal.getsignal(number) == signal.SIG_IGN):
                continue
            before[number] = signal.signal(number, stopping.came)
        yield stopping
    finally:
        for number, handler in before.items():
            # None: it was not set from Python.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
