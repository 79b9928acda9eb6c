"""What a run that ended early has kept, in words."""

from __future__ import annotations

from kerastl.backbones import foreign_code
from kerastl.evaluation.run_record import RunResults
from kerastl.runs.config import RunConfig


def stopped_sentence(config: RunConfig, measured: RunResults) -> str:
    """What a run that was stopped has left, in one line."""
    has_begun = measured.train or measured.folds
    allowed = " --no-safe-mode" if foreign_code.names_code(config.backbone) else ""
    go_on = f" Go on with: kerastl run --resume {config.output}{allowed}" if has_begun else ""
    return f"Stopped. {kept(config, measured)}{go_on}"


def kept(config: RunConfig, measured: RunResults) -> str:
    """What the folder of a run holds, in one sentence."""
    if measured.folds and not measured.train:
        count = measured.folds["count"]
        finished = measured.folds.get("finished", count)
        return f"Kept in {config.output}: {finished} finished folds of {count}."
    if not measured.epochs and measured.train:
        return f"Kept in {config.output}: the model with its solved head."
    if not measured.epochs:
        return "No epoch was finished, and nothing was kept."
    return f"Kept in {config.output}: the model after {measured.epochs} finished epochs."
