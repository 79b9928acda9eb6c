"""`kerastl pick` with two minutes, and the run that it recommends."""

from __future__ import annotations

import time
from dataclasses import replace

import kerastl
from benchmarks.accuracy.tasks import Outcome, Task
from kerastl.runs.config import RunConfig
from kerastl.runs.training import run

MINUTES = 2.0


def measure(task: Task) -> Outcome:
    """Pick among the networks that are here, and train on the folder as it says."""
    start = time.perf_counter()
    found = kerastl.pick(
        f"folder:{task.folder}", minutes=MINUTES, resize="squash", seed=task.seed
    ).recommendation
    config = RunConfig(
        data=f"folder:{task.folder}",
        backbone=found.spec,
        weights=found.weights,
        image_size=found.image_size,
        strategy=found.strategy,
        resize="squash",
        workers=0,
        seed=task.seed,
        output=str(task.work / "run"),
    )
    if found.strategy == "partial":
        config = replace(config, freeze_through=found.freeze_through)
    results = run(config, echo=lambda line: None, progress="quiet")
    seconds = time.perf_counter() - start
    return Outcome(results.test["accuracy"], seconds, f"{found.spec}, {found.strategy}")
