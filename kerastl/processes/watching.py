"""Signs of life of each process, so that the others can say which one has ended, and why."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from datetime import timedelta
from typing import Any

from kerastl.processes.launch import Launch

BEAT_EVERY = 2.0
"""Seconds between two signs of life."""

SILENT_FOR = 30.0
"""Seconds without one after which a process counts as ended."""

_STUCK_AFTER = 5.0
_STORE_GONE = "the process that they speak through has ended, most often process 0"


class Watch:
    """What a process tells the others of itself, and what it finds out about them.

    Args:
        launch: The place of this process.
        store: Torch's store, shared with the other processes; the watch alone uses
            this connection.
    """

    def __init__(self, launch: Launch, store: Any) -> None:
        self._launch = launch
        self._store = store
        self._lock = threading.Lock()
        self._waiting_since: float | None = None
        self._beats: dict[int, tuple[bytes, float]] = {}
        self._is_over = threading.Event()
        self._has_failed = False
        about = json.dumps({"host": socket.gethostname(), "process": os.getpid()})
        self._set(f"who/{launch.rank}", about)
        self._set(f"beat/{launch.rank}", "0")
        self._thread = threading.Thread(target=self._run, name="kerastl-watch", daemon=True)
        self._thread.start()

    def tell_failure(self, sentence: str) -> None:
        """Let the others know why this process is about to end; "" where it goes on after all."""
        if not sentence and not self._has_failed:
            return
        with contextlib.suppress(Exception):
            self._set(f"failed/{self._launch.rank}", sentence)
        self._has_failed = bool(sentence)

    def leave(self, *, patience: float = 5.0) -> None:
        """Say that this process is done; the one that hosts the store waits for the others.

        Args:
            patience: The longest wait, seconds.
        """
        self._is_over.set()
        with contextlib.suppress(Exception):
            self._set(f"left/{self._launch.rank}", "")
            until = time.monotonic() + patience
            hosts = self._launch.hosts_store and self._launch.rank == 0
            while hosts and time.monotonic() < until and self._remaining():
                time.sleep(0.05)

    @contextlib.contextmanager
    def waiting(self) -> Any:
        """While this process waits for the others: should one end, so does it."""
        self._waiting_since = time.monotonic()
        try:
            yield
        finally:
            self._waiting_since = None

    def culprit(self, patience: float) -> str | None:
        """Which process has ended, as part of a sentence, or None.

        Args:
            patience: The longest search, seconds: the death of a process on another
                machine shows by its silence alone.
        """
        until = time.monotonic() + patience
        while True:
            try:
                found = self._look()
            except Exception:  # whatever torch says where the store is gone
                return _STORE_GONE
            if found is not None or time.monotonic() >= until:
                return found
            time.sleep(0.2)

    def _look(self) -> str | None:
        world, own = self._launch.world_size, self._launch.rank
        left = None
        for rank in range(world):
            if rank == own:
                continue
            who = self._who(rank)
            name = f"process {rank} of {world}" + (f" on {who['host']}" if who else "")
            if reason := self._get(f"failed/{rank}"):
                return f"{name} has ended: {reason.decode()}"
            if self._get(f"left/{rank}") is not None:
                left = left or f"{name} has come to the end of its program"
            elif self._has_died(rank, who):
                return f"{name} has ended without a word"
        return left

    def _has_died(self, rank: int, who: Any) -> bool:
        if who and who["host"] == socket.gethostname() and not _is_alive(who["process"]):
            return True
        beat, now = self._get(f"beat/{rank}"), time.monotonic()
        if beat is None:
            return False
        known = self._beats.get(rank)
        if known is None or known[0] != beat:
            self._beats[rank] = (beat, now)
            return False
        return now - known[1] > SILENT_FOR

    def _who(self, rank: int) -> Any:
        found = self._get(f"who/{rank}")
        return None if found is None else json.loads(found)

    def _remaining(self) -> bool:
        others = range(1, self._launch.world_size)
        return any(
            self._get(f"left/{rank}") is None and not self._has_died(rank, self._who(rank))
            for rank in others
        )

    def _set(self, key: str, value: str) -> None:
        with self._lock:
            self._store.set(key, value)

    def _get(self, key: str) -> bytes | None:
        with self._lock:
            value: bytes | None = self._store.get(key) if self._store.check([key]) else None
        return value

    def _run(self) -> None:
        beats = 0
        while not self._is_over.wait(BEAT_EVERY):
            beats += 1
            try:
                self._set(f"beat/{self._launch.rank}", str(beats))
                found = self._look() if self._is_stuck() else None
            except Exception:  # as above
                found = _STORE_GONE if self._is_stuck() else None
            if found is None:
                continue
            # Gloo raises an error by itself where a connection ends; NCCL waits on.
            time.sleep(2 * BEAT_EVERY)
            if self._is_stuck() and not self._is_over.is_set():
                print(f"Error: {ended_sentence(found)}", file=sys.stderr, flush=True)
                # A thread cannot raise an error in one that waits within a library.
                os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))

    def _is_stuck(self) -> bool:
        since = self._waiting_since
        return since is not None and time.monotonic() - since > _STUCK_AFTER


def ended_sentence(what: str) -> str:
    """What to say where other processes cannot go on.

    Args:
        what: Which process has ended and why, without a point.
    """
    return (
        f"All processes must go on together. Received: {what.rstrip('.')}. "
        "Look at what that process has printed, and start again."
    )


def connected(launch: Launch, timeout: timedelta) -> Any:
    """Torch's store of a launch, which process 0 hosts or the launcher does.

    Args:
        launch: The place of this process.
        timeout: The longest wait for process 0.
    """
    from torch.distributed import PrefixStore, TCPStore

    store = TCPStore(
        launch.address,
        launch.port,
        launch.world_size,
        is_master=launch.hosts_store and launch.rank == 0,
        timeout=timeout,
        wait_for_workers=False,
        multi_tenant=True,
    )
    return PrefixStore(f"kerastl/{launch.attempt}", store)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    try:  # one that has ended and that nobody has asked after yet
        with open(f"/proc/{process}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return True
