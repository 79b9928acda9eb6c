"""The solved head of a run: what fine-tuning starts from, or the finished model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerastl.data.class_weights import balanced_weights
from kerastl.data.tasks import CLASSIFICATION
from kerastl.evaluation.folds import FoldScores, fold_scores
from kerastl.evaluation.out_of_fold import save
from kerastl.evaluation.scoring import AnyEvaluation, class_of
from kerastl.model.head_solving import LabelledRows, SolvedHead, labelled, solve_rows
from kerastl.model.out_of_memory import told
from kerastl.prefix.rows import feature_rows
from kerastl.runs.config import RunConfig
from kerastl.runs.training.preparing import PreparedRun
from kerastl.solving.folds import DEFAULT_FOLDS

VIEWS = 4
"""Views of each image that a head is solved on where images change at random."""


@dataclass(frozen=True)
class HeadResult:
    """A head that a run has solved.

    Attributes:
        head: What was found.
        images: How many it was solved on.
        names: What each is called.
        training: Its scores on these.
        out_of_fold: The scores of heads that had not seen what they are scored on; None
            where nothing could be held out.
    """

    head: SolvedHead
    images: int
    names: Sequence[str]
    training: AnyEvaluation
    out_of_fold: AnyEvaluation | None

    @property
    def line(self) -> str:
        """What was found, in one line."""
        penalty = ", ".join(f"{value:.3g}" for value in np.unique(self.head.penalty))
        scored = ""
        if self.out_of_fold is not None:
            found = self.out_of_fold.scores
            scored = f", out of fold {'  '.join(f'{k} {v:.4f}' for k, v in found.items())}"
        folds = f" by {self.head.num_folds} folds" if self.head.num_folds else ""
        return f"Head solved on {self.images:,} images, penalty {penalty}{folds}{scored}"

    def folds(self, class_names: Sequence[str]) -> FoldScores:
        """The scores of each fold.

        Args:
            class_names: Every class, or number to predict.
        """
        head = self.head
        return fold_scores(
            head.task, class_names, head.labels, head.predictions, head.fold_of_image
        )

    def save_out_of_fold(self, folder: Path) -> None:
        """Write what each image got from a head that had not seen it, if there was one."""
        if self.out_of_fold is not None:
            chosen = np.flatnonzero(self.head.held_out)
            save(folder, [self.names[int(number)] for number in chosen], self.out_of_fold)


def solve_on_training(prepared: PreparedRun) -> HeadResult:
    """Solve the head on the training part alone: what is judged on validation has not seen it."""
    return _solve(prepared, ("train",))


def solve_on_all(prepared: PreparedRun) -> HeadResult:
    """Solve the head on every image that is not the test."""
    return _solve(prepared, ("train", "validation"))


def _solve(prepared: PreparedRun, parts: tuple[str, ...]) -> HeadResult:
    config, data, model = prepared.config, prepared.data, prepared.model
    loaders = [loader for part in parts if (loader := getattr(data, part)) is not None]
    rows = [_rows(config, model, loader) for loader in loaders]
    names = [
        loader.dataset.name(int(number))
        for loader, part in zip(loaders, rows, strict=True)
        for number in np.unique(part.images)
    ]
    if config.task == CLASSIFICATION and (config.class_weight or config.sampling == "balanced"):
        rows = _balanced(rows)
    head = solve_rows(model, rows, seed=config.seed, folds=config.folds or DEFAULT_FOLDS)
    training = head.evaluation(data.class_names, out_of_fold=False)
    if training is None:
        raise ValueError("`data` must hold training images. Received: none.")
    return HeadResult(head, len(head.labels), names, training, head.evaluation(data.class_names))


def _rows(config: RunConfig, model: Any, loader: Any) -> LabelledRows:
    views = config.cache_views if config.cache_views > 1 else VIEWS
    with told(model, x=loader, trains=False):
        found = feature_rows(model, loader, model.prefix_cache, views=views)
    rows = labelled(found, None)
    groups = loader.dataset.groups
    return rows if groups is None else rows.with_groups(groups)


def _balanced(rows: list[LabelledRows]) -> list[LabelledRows]:
    """The rows with weights that make every class count alike."""
    weights = balanced_weights(np.concatenate([class_of(part.labels) for part in rows]))
    return [part.with_class_weight(weights) for part in rows]
