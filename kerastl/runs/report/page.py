"""The report as one HTML page that needs nothing beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from kerastl.evaluation import calibration, intervals
from kerastl.evaluation.folds import described_folds
from kerastl.evaluation.run_record import RunResults
from kerastl.evaluation.scores import Evaluation
from kerastl.pages.environment import environment, readable_seconds
from kerastl.pages.pictures import picture
from kerastl.runs.report import charts, pictures
from kerastl.runs.report.contents import Example, ReportContents

# Beyond this many classes the matrix is a picture without numbers.
_MOST_CLASSES_IN_TABLE = 30
# Up to here another table has room beside it.
_MOST_CLASSES_BESIDE = 10
# Names of this many characters stand above their column without being turned.
_SHORT = 3
# Beyond this many rows a table is folded away.
_MOST_OPEN_ROWS = 25
_MOST_CONFUSIONS = 10
_MOST_METRICS = 4
_HEAT_LEVELS = 10
INTERVAL = f"{100 * intervals.CONFIDENCE:.0f} % interval"


@dataclass(frozen=True)
class ClassScore:
    """How well one class was found.

    Attributes:
        name: Name of the class, or of a mean over classes.
        precision: Share of the images called so that are.
        recall: Share of its images that were called so.
        f1: Harmonic mean of the two.
        count: Its images.
    """

    name: str
    precision: float
    recall: float
    f1: float
    count: int


def page(contents: ReportContents) -> str:
    """The HTML of a report."""
    scores = contents.scores
    values = {
        "title": title(contents),
        "headline": _headline(contents),
        "trained_parameters": sum(b.num_parameters for b in contents.blocks if b.rates),
        "all_parameters": sum(block.num_parameters for block in contents.blocks),
        "metrics": metric_rows(contents),
        "parts": metric_parts(contents),
        "folds": folds_sentence(contents.results),
        "rates_chart": _markup(charts.rates_chart(contents.history, name="rates")),
        "curves": _curves(contents),
        "counts": class_count_rows(contents),
        "mistakes": _pictured(contents.mistakes),
        "uncertain": _pictured(contents.uncertain),
        "most_open_rows": _MOST_OPEN_ROWS,
        **({} if scores is None else _scored(scores)),
    }
    template = environment("kerastl.runs.report", autoescape=True).get_template("report.html.jinja")
    return template.render(run=contents, results=contents.results, scores=scores, **values)


def title(contents: ReportContents) -> str:
    """What was trained on what."""
    return f"{contents.config['backbone']} on {contents.config['data']}"


def folds_sentence(results: RunResults) -> str:
    """The scores of the folds in a line; empty where there were none."""
    return f"Folds: {described_folds(results.folds)}" if results.folds else ""


def metric_parts(contents: ReportContents) -> tuple[str, ...]:
    """The parts with metrics: out of fold where the head was solved on validation too."""
    left_out = "validation" if contents.results.out_of_fold else "out_of_fold"
    return tuple(name for name in intervals.PARTS if name != left_out)


def metric_rows(contents: ReportContents) -> list[tuple[str, list[str | None]]]:
    """Each metric for training, validation and test, its interval below it; the images last.

    None stands where nothing was measured.
    """
    results = contents.results
    parts = {name: getattr(results, name) for name in metric_parts(contents)}
    known = intervals.known_intervals(results)
    names = sorted(dict.fromkeys(name for part in parts.values() for name in part), key=_loss_last)
    rows: list[tuple[str, list[str | None]]] = []
    for name in names:
        values = [part.get(name) for part in parts.values()]
        rows.append((name, [None if value is None else f"{value:.4f}" for value in values]))
        ends = [known.get(part, {}).get(name) for part in parts]
        if any(ends):
            texts = [None if interval is None else intervals.shown(interval) for interval in ends]
            rows.append((f"{name}, {INTERVAL}", texts))
    if rows:
        counts = [results.num_images(name) for name in parts]
        rows.append(("images", [f"{count:,}" if count else None for count in counts]))
    return rows


def class_count_rows(contents: ReportContents) -> list[tuple[str, list[int]]]:
    """Each class with its number of images in each part of `class_counts`."""
    columns = zip(*contents.class_counts.values(), strict=True)
    names = contents.results.class_names
    return [(name, [int(count) for count in row]) for name, row in zip(names, columns, strict=True)]


def class_scores(scores: Evaluation) -> list[ClassScore]:
    """Precision, recall and F1 of every class, and their plain mean over classes."""
    from sklearn.metrics import precision_recall_fscore_support

    columns = precision_recall_fscore_support(
        scores.labels, scores.predicted, labels=range(len(scores.class_names)), zero_division=0
    )
    rows = [
        ClassScore(name, float(precision), float(recall), float(f1), int(count))
        for name, precision, recall, f1, count in zip(scores.class_names, *columns, strict=True)
    ]
    precision, recall, f1 = (float(np.mean(column)) for column in columns[:3])
    mean = ClassScore("mean of the classes", precision, recall, f1, count=len(scores.labels))
    return [*rows, mean]


def confusions(scores: Evaluation) -> list[tuple[str, str, int]]:
    """The most frequent mistakes: true class, predicted class, images."""
    wrong = scores.confusion()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_MOST_CONFUSIONS]
    pairs = zip(*np.unravel_index(order, wrong.shape), strict=True)
    names = scores.class_names
    return [(names[t], names[p], int(wrong[t, p])) for t, p in pairs if wrong[t, p]]


def _scored(scores: Evaluation) -> dict[str, Any]:
    """What the page says of the evaluation."""
    curve = calibration.reliability(scores.labels, scores.probabilities)
    matrix = scores.confusion()
    in_table = len(matrix) <= _MOST_CLASSES_IN_TABLE
    return {
        "class_scores": class_scores(scores),
        "confusions": confusions(scores),
        "num_mistakes": int((scores.predicted != scores.labels).sum()),
        "wide_matrix": _MOST_CLASSES_BESIDE < len(matrix) <= _MOST_CLASSES_IN_TABLE,
        "short_names": max(map(len, scores.class_names)) <= _SHORT,
        "matrix": _matrix_rows(scores.class_names, matrix) if in_table else None,
        "matrix_chart": None
        if in_table
        else _markup(charts.confusion_chart(matrix, name="confusion")),
        "accuracy_interval": accuracy_interval(scores),
        "calibration_error": curve.error,
        "mean_confidence": float(scores.probabilities.max(axis=1).mean()),
        "reliability_chart": _markup(charts.reliability_chart(curve, name="reliability")),
    }


def _matrix_rows(
    names: Sequence[str], matrix: np.ndarray
) -> list[tuple[str, list[tuple[int, int]]]]:
    """Each true class with (images, level of heat) per predicted class."""
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    # A single image still shows: the level is rounded up.
    levels = np.ceil(shares * _HEAT_LEVELS - 1e-9)
    return [
        (name, [(int(count), int(level)) for count, level in zip(row, heat, strict=True)])
        for name, row, heat in zip(names, matrix, levels, strict=True)
    ]


def accuracy_interval(scores: Evaluation) -> str:
    """The interval of an accuracy, per cent."""
    low, high = intervals.score_intervals(scores)[intervals.ACCURACY]
    return f"{intervals.shown((100 * low, 100 * high))} %"


def _headline(contents: ReportContents) -> list[tuple[str, str, str]]:
    """The few numbers at the top: what each is, its value, and what is to know of it."""
    results, scores = contents.results, contents.scores
    numbers = []
    if scores is not None:
        about = f"{INTERVAL} {accuracy_interval(scores)}, {len(scores.labels):,} images"
        numbers.append((f"{contents.part} accuracy", f"{100 * scores.accuracy:.2f} %", about))
        numbers.append((f"{contents.part} loss", f"{scores.loss:.4f}", ""))
        error = calibration.expected_calibration_error(scores.labels, scores.probabilities)
        numbers.append(("calibration error", f"{error:.4f}", ""))
    numbers.append(("classes", f"{len(results.class_names):,}", ""))
    numbers.append(("training images", f"{results.images.get('train', 0):,}", ""))
    numbers.append(("epochs", str(results.epochs), ""))
    if "total" in results.seconds:
        numbers.append(("time", readable_seconds(results.seconds["total"]), ""))
    return numbers


def _curves(contents: ReportContents) -> list[Markup]:
    """A chart of each metric, as far as the history has numbers to draw."""
    history = [
        {key: value for key, value in row.items() if math.isfinite(value)}
        for row in contents.history
    ]
    if not history:
        return []
    names = charts.metric_names(history)[:_MOST_METRICS]
    return [
        Markup(charts.metric_chart(history, metric, name=f"curve{number}"))
        for number, metric in enumerate(names)
    ]


def _pictured(examples: Sequence[Example]) -> list[dict[str, Any]]:
    return [
        {
            "about": example,
            "picture": picture(example.pixels),
            "heated": None
            if example.heat is None
            else pictures.heated(example.pixels, example.heat),
        }
        for example in examples
    ]


def _markup(svg: str | None) -> Markup | None:
    """Our own SVG, whose texts matplotlib has escaped."""
    return None if svg is None else Markup(svg)


def _loss_last(name: str) -> bool:
    return name == "loss"
