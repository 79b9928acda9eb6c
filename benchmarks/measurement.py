"""One measurement, as it passes from the worker to the report. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What one contestant needed for one job, once.

    Attributes:
        job: Name of the job.
        contestant: Name of the contestant.
        repeat: Which of the repeats it was, from 0.
        seconds: What is compared; None where it failed.
        peak_memory_mb: Most resident memory of the process, 10**6 bytes; of
            worker processes, nothing.
        peak_gpu_memory_mb: Most memory that torch had allocated on the GPU,
            10**6 bytes; None without one.
        loss: Training loss of the last epoch; None where nothing is trained.
        extras: Further numbers by name.
        note: What the reader should know, or "".
        device: Name of the GPU, or "cpu".
        threads: Threads of torch when all was done.
        other_cores: Cores that other processes kept busy meanwhile, on
            average; None where it is not known.
        error: Why there are no numbers, one line, or None.
    """

    job: str
    contestant: str
    repeat: int = 0
    seconds: float | None = None
    peak_memory_mb: float | None = None
    peak_gpu_memory_mb: float | None = None
    loss: float | None = None
    extras: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    device: str = ""
    threads: int | None = None
    other_cores: float | None = None
    error: str | None = None


def to_line(measurement: Measurement) -> str:
    """A measurement as one line of JSON."""
    return json.dumps(asdict(measurement))


def read_measurement(path: Path) -> Measurement:
    """Read a file that holds the one line of `to_line`."""
    return Measurement(**json.loads(path.read_text(encoding="utf-8")))
