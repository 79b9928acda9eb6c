"""`kerastl run` with nothing chosen but the strategy."""

from __future__ import annotations

from benchmarks.accuracy.tasks import Outcome, Task
from kerastl.runs.config import RunConfig
from kerastl.runs.training import run


def measure(task: Task, *, strategy: str) -> Outcome:
    """Train on the folder; validation images come out of `train/`, as they do by default."""
    config = RunConfig(
        data=f"folder:{task.folder}",
        backbone=task.backbone,
        weights=task.weights,
        strategy=strategy,
        image_size=task.image_size,
        # The images have their size: "crop" would cut their edges off.
        resize="squash",
        # Starting a process takes longer than reading these few small files.
        workers=0,
        seed=task.seed,
        output=str(task.work / "run"),
    )
    results = run(config, echo=lambda line: None, progress="quiet")
    seconds = results.seconds["prepare"] + results.seconds["fit"]
    return Outcome(results.test["accuracy"], seconds, results.strategy)
