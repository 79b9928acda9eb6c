"""One run, from its options to its folder: data, model, strategy, `fit`, test, results."""

from kerastl.runs.training.fold_runs import planned_folds
from kerastl.runs.training.folder import check_output
from kerastl.runs.training.preparing import (
    PreparedRun,
    begin_phase,
    load_images,
    planned_cache,
    prepare,
)
from kerastl.runs.training.running import run, to_resume
from kerastl.runs.training.telling import stopped_sentence

__all__ = [
    "PreparedRun",
    "begin_phase",
    "check_output",
    "load_images",
    "planned_cache",
    "planned_folds",
    "prepare",
    "run",
    "stopped_sentence",
    "to_resume",
]
