"""What a run that ended early has kept, in words."""

from __future__ import annotations

from pathlib import Path

from kerastl.backbones import foreign_code
from kerastl.evaluation.run_record import RunResults
from kerastl.runs.config import RunConfig
from kerastl.runs.training.folder import held_files


def stopped_sentence(config: RunConfig, measured: RunResults) -> str:
    """What a run that was stopped has left, in one line."""
    has_begun = measured.train or measured.folds or measured.steps
    allowed = " --no-safe-mode" if foreign_code.names_code(config.backbone) else ""
    go_on = f" Go on with: kerastl run --resume {config.output}{allowed}" if has_begun else ""
    return f"Stopped. {kept(config, measured)}{go_on}"


def so_far(epochs: int, steps: int) -> str:
    """How far a run has come, in words.

    Args:
        epochs: Finished ones.
        steps: Of the epoch after them.
    """
    if not steps:
        return f"{epochs} finished epochs"
    return f"{epochs} finished epochs and {steps} steps of the next"


def kept(config: RunConfig, measured: RunResults) -> str:
    """What the folder of a run holds, in one sentence."""
    if measured.folds and not measured.train:
        count = measured.folds["count"]
        finished = measured.folds.get("finished", count)
        return f"Kept in {config.output}: {finished} finished folds of {count}."
    steps = f"{measured.steps} steps of the next epoch" if measured.steps else ""
    if not measured.epochs and not measured.train:
        if not steps:
            older = held_files(Path(config.output).expanduser())
            still = f" {config.output} holds what it held before." if older else ""
            return f"No epoch was finished, and nothing was kept.{still}"
        return f"Kept in {config.output}: {measured.steps} steps of the first epoch."
    model = f"the model after {measured.epochs} finished epochs"
    if not measured.epochs:
        model = "the model with its solved head"
    return f"Kept in {config.output}: {model}{f', and {steps}' if steps else ''}."
