"""Running jobs: every measurement in a process of its own, contestants in turns.

Imports no torch: on Linux a process starts with the peak of memory that its
parent had.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import psutil

from benchmarks.contestants import OURS
from benchmarks.jobs import Job
from benchmarks.measurement import Measurement, read_measurement

_ROOT = Path(__file__).parents[1]
_LINES_OF_FAILURE = 15


def run_job(
    job: Job,
    rivals: Sequence[str],
    *,
    repeats: int,
    scale: float,
    echo: Callable[[str], None],
) -> list[Measurement]:
    """Measure a job: in each repeat every contestant once, one after the other.

    Args:
        job: The job, not scaled.
        rivals: Contestants that may take part beside ours.
        repeats: Times that each contestant does it.
        scale: Factor on the number of images.
        echo: Takes lines of progress.
    """
    contestants = [OURS, *(rival for rival in job.rivals if rival in rivals)]
    measurements = []
    for repeat in range(repeats):
        for contestant in contestants:
            done = _measure_apart(job, contestant, repeat=repeat, scale=scale, echo=echo)
            measurements.append(done)
            shown = f"{done.seconds:.2f} s" if done.seconds is not None else f"failed: {done.error}"
            echo(f"{job.name}  {contestant}  {repeat + 1}/{repeats}  {shown}")
    return measurements


def _measure_apart(
    job: Job, contestant: str, *, repeat: int, scale: float, echo: Callable[[str], None]
) -> Measurement:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "measurement.json"
        command = [sys.executable, "-m", "benchmarks.worker", job.name, contestant]
        command += ["--scale", str(scale), "--output", str(output)]
        started, others = time.perf_counter(), _seconds_of_others()
        process = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
        others = (_seconds_of_others() - others) / (time.perf_counter() - started)
        if process.returncode == 0:
            done = replace(read_measurement(output), repeat=repeat)
            # Processes that decode are not always counted as the worker's.
            return done if job.num_workers != 0 else replace(done, other_cores=max(0.0, others))
    lines = process.stderr.strip().splitlines()
    for line in lines[-_LINES_OF_FAILURE:]:
        echo(f"    {line}")
    error = lines[-1] if lines else f"exit code {process.returncode}"
    return Measurement(job=job.name, contestant=contestant, repeat=repeat, error=error)


def _seconds_of_others() -> float:
    """Processor seconds since the start of the machine, without this process and its children."""
    machine, own = psutil.cpu_times(), os.times()
    busy = machine.user + machine.system + getattr(machine, "steal", 0.0)
    return busy - own.user - own.system - own.children_user - own.children_system
