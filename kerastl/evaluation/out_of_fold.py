"""Out-of-fold predictions of a run: write and read `out_of_fold.csv`."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kerastl.evaluation.run_record import OUT_OF_FOLD_FILE
from kerastl.evaluation.scores import Evaluation, MultiLabelEvaluation
from kerastl.evaluation.scoring import AnyEvaluation
from kerastl.internals.whole_files import write_whole

_IMAGE, _CLASS, _PREDICTED = "image", "class", "predicted"
_PROBABILITY, _TRUE = "probability of ", "true "


def save(folder: Path, names: Sequence[str], found: AnyEvaluation) -> None:
    """Write a row per image: its name, its class, and what a model without it gave.

    Args:
        folder: Of the run.
        names: What each image is called.
        found: Labels and outputs, in the order of the names.
    """
    columns, rows = _table(found)

    def write(path: Path) -> None:
        # Names of files need not be text that can be encoded.
        with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file)
            writer.writerow([_IMAGE, *columns])
            writer.writerows([name, *row] for name, row in zip(names, rows, strict=True))

    write_whole(folder / OUT_OF_FOLD_FILE, write)


def load_classes(folder: Path, class_names: Sequence[str]) -> tuple[list[str], Evaluation] | None:
    """The names of the images, and their scores; None where the run has none of one class each.

    Args:
        folder: Of the run.
        class_names: Every class, in the order of the model's outputs.
    """
    path = folder / OUT_OF_FOLD_FILE
    if not path.is_file():
        return None
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        header, *rows = csv.reader(file)
    if header != [_IMAGE, *_columns_of_classes(class_names)] or not rows:
        return None
    number = {name: index for index, name in enumerate(class_names)}
    labels = np.array([number[row[1]] for row in rows])
    given = np.array([[float(value) for value in row[3:]] for row in rows])
    return [row[0] for row in rows], Evaluation(class_names, labels, given)


def _columns_of_classes(class_names: Sequence[str]) -> list[str]:
    return [_CLASS, _PREDICTED, *(f"{_PROBABILITY}{name}" for name in class_names)]


def _table(found: AnyEvaluation) -> tuple[list[str], list[list[object]]]:
    if isinstance(found, Evaluation):
        names = list(found.class_names)
        columns = [found.labels, found.predicted, found.probabilities]
        return _columns_of_classes(names), [
            [names[label], names[predicted], *map(float, given)]
            for label, predicted, given in zip(*columns, strict=True)
        ]
    if isinstance(found, MultiLabelEvaluation):
        names, truth, given = list(found.class_names), found.labels, found.probabilities
        outputs = [f"{_PROBABILITY}{name}" for name in names]
    else:
        names, truth, given = list(found.names), found.truth, found.predicted
        outputs = [f"{_PREDICTED} {name}" for name in names]
    return [*(f"{_TRUE}{name}" for name in names), *outputs], [
        [*map(float, true), *map(float, row)] for true, row in zip(truth, given, strict=True)
    ]
