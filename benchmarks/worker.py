"""One measurement in a process of its own.

`python -m benchmarks.worker JOB CONTESTANT [--scale F] [--output FILE]`: the
result is one line of JSON.
"""

from __future__ import annotations

import argparse
import importlib
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.contestants import CONTESTANTS
from benchmarks.jobs import JOBS, Job, Kind, scaled
from benchmarks.machine import usable_cores
from benchmarks.measurement import Measurement, to_line


def measure(job: Job, contestant: str) -> Measurement:
    """Do the job once, with as many threads as there are usable cores.

    Args:
        job: The job.
        contestant: Who does it, by name.

    Raises:
        ValueError: If the loss at the end is not finite.
    """
    os.environ["KERAS_BACKEND"] = "torch"
    import torch

    torch.set_num_threads(usable_cores())
    module = importlib.import_module(CONTESTANTS[contestant].module)
    numbers = MEASURES[job.kind](job, module)
    on_gpu = torch.cuda.is_available()
    return Measurement(
        job=job.name,
        contestant=contestant,
        peak_memory_mb=_peak_memory_mb(),
        peak_gpu_memory_mb=torch.cuda.max_memory_allocated() / 1e6 if on_gpu else None,
        device=torch.cuda.get_device_name() if on_gpu else "cpu",
        threads=torch.get_num_threads(),
        **numbers,
    )


def training_numbers(job: Job, contestant: ModuleType) -> dict[str, Any]:
    """Seconds of a training, when all is built and imported."""
    train = contestant.prepare(job)
    _wait_for_gpu()
    started = time.perf_counter()
    outcome = train()
    _wait_for_gpu()
    seconds = time.perf_counter() - started
    if not math.isfinite(outcome.loss):
        raise ValueError(f"The loss must be finite at the end. Received: loss={outcome.loss}.")
    return {"seconds": seconds, "loss": outcome.loss, "note": outcome.note}


def overhead_numbers(job: Job, contestant: ModuleType) -> dict[str, Any]:
    """Seconds of a training with next to no network, and of one step of it."""
    numbers = training_numbers(job, contestant)
    return {**numbers, "extras": {"milliseconds_per_step": 1000 * numbers["seconds"] / job.steps}}


def loading_numbers(job: Job, contestant: ModuleType) -> dict[str, Any]:
    """Seconds from the first batch of photos to the last of all passes."""
    from benchmarks.images import write_photos

    with tempfile.TemporaryDirectory() as name:
        write_photos(Path(name), job)
        started = time.perf_counter()
        batches = contestant.photo_batches(Path(name), job)
        arrivals, sizes = [], []
        for _ in range(job.epochs):
            for images, _ in batches:
                arrivals.append(time.perf_counter())
                sizes.append(len(images))
        seconds = arrivals[-1] - arrivals[0]
        del batches  # its workers end before the files go
    extras = {
        "images_per_second": sum(sizes[1:]) / seconds,
        "first_batch_seconds": arrivals[0] - started,
    }
    return {"seconds": seconds, "extras": extras}


def many_files_numbers(job: Job, contestant: ModuleType) -> dict[str, Any]:
    """Seconds until the first batch of a folder of many files has arrived."""
    from benchmarks.images import write_small_files

    with tempfile.TemporaryDirectory() as name:
        write_small_files(Path(name), job)
        started = time.perf_counter()
        batches = iter(contestant.folder_batches(Path(name), job))
        next(batches)
        seconds = time.perf_counter() - started
        del batches
    return {"seconds": seconds}


MEASURES: dict[Kind, Callable[[Job, ModuleType], dict[str, Any]]] = {
    "training": training_numbers,
    "overhead": overhead_numbers,
    "loading": loading_numbers,
    "many-files": many_files_numbers,
}


def _wait_for_gpu() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _peak_memory_mb() -> float | None:
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def main() -> int:
    """Measure, and print the result or write it to a file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worker")
    parser.add_argument("job", choices=JOBS, metavar="JOB")
    parser.add_argument("contestant", choices=CONTESTANTS, metavar="CONTESTANT")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the images")
    parser.add_argument("--output", type=Path, help="file for the line of JSON")
    options = parser.parse_args()
    job = scaled(JOBS[options.job], options.scale)
    line = to_line(measure(job, options.contestant))
    if options.output:
        options.output.write_text(line + "\n", encoding="utf-8")
    else:
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
