"""Write the report and the model card into the run's folder."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from kerastl.evaluation.out_of_fold import load_classes
from kerastl.evaluation.run_record import (
    CARD_FILE,
    CONFIG_FILE,
    HISTORY_FILE,
    REPORT_FILE,
    RunResults,
    load_history,
)
from kerastl.evaluation.scores import Evaluation
from kerastl.internals.whole_files import write_whole
from kerastl.runs.report import model_card
from kerastl.runs.report.contents import ReportContents, gather
from kerastl.runs.report.page import page


def write_report(
    folder: Path,
    model: Any,
    *,
    data: Any,
    results: RunResults,
    test_scores: Evaluation | None = None,
) -> ReportContents:
    """Write `report.html` and `README.md`, the model card, into a run's folder.

    A `README.md` that kerastl did not write stays as it is.

    Args:
        folder: The run's folder, with its `config.toml` and `history.csv`.
        model: The trained `ImageClassifier`.
        data: What `load_data` gave for the run.
        results: What the run measured.
        test_scores: What `evaluation.evaluate` gave for the test part, if that
            is known; else the images are predicted here.

    Returns:
        What the two say.

    Raises:
        OSError: If a file cannot be read or written.
    """
    # As it stands there: the report says it and checks nothing.
    settings = tomllib.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    rows = folder / HISTORY_FILE
    contents = gather(
        model,
        data,
        results=results,
        history=load_history(folder) if rows.is_file() else [],
        config=settings,
        test_scores=test_scores,
        out_of_fold=load_classes(folder, data.class_names) if results.out_of_fold else None,
    )
    _write(folder / REPORT_FILE, page(contents))
    card = folder / CARD_FILE
    if not card.is_file() or _is_ours(card):
        _write(card, model_card.card(contents))
    return contents


def remove_report(folder: Path) -> None:
    """Remove what `write_report` wrote, because it is of a run that is being replaced."""
    (folder / REPORT_FILE).unlink(missing_ok=True)
    card = folder / CARD_FILE
    if card.is_file() and _is_ours(card):
        card.unlink()


def _is_ours(card: Path) -> bool:
    return model_card.MARK in card.read_text(encoding="utf-8", errors="replace")


def _write(file: Path, text: str) -> None:
    write_whole(file, lambda path: path.write_text(text, encoding="utf-8"))
