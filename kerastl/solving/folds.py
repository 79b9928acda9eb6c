"""Folds: every row is held out once, with the rows of its group, each class in proportion."""

from __future__ import annotations

import warnings

import numpy as np

DEFAULT_FOLDS = 5


def fold_numbers(
    labels: np.ndarray | None,
    num_rows: int,
    *,
    folds: int = DEFAULT_FOLDS,
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Which fold holds each row out: scikit-learn's stratified or grouped folds.

    A class that would then be missing from what its fold is trained on, such
    as one of a single image, is never held out.

    Args:
        labels: Class of each row, `(rows,)`; None where rows are not of one class.
        num_rows: How many there are.
        folds: At most as many; fewer where there are fewer rows or groups.
        groups: Rows of one group are held out together, `(rows,)`.
        seed: Number that fixes the folds.

    Returns:
        Fold of each row from 0, or -1: never held out; int64, `(rows,)`. All
        are -1 where nothing can be held out.

    Raises:
        ValueError: If `folds` is below 2.

    Example:

    >>> folds = fold_numbers(np.array([0, 0, 0, 0, 1, 1, 2]), 7, folds=2)
    >>> int(folds[-1])
    -1
    """
    if folds < 2:
        raise ValueError(f"`folds` must be 2 or more. Received: folds={folds}.")
    found = np.full(num_rows, -1, np.int64)
    units = num_rows if groups is None else len(np.unique(groups))
    if labels is not None:
        # Scikit-learn wants a class of at least as many images as there are folds.
        units = min(units, int(np.bincount(labels).max()))
    folds = min(folds, units)
    if folds < 2:
        return found
    with warnings.catch_warnings():
        # A class smaller than the folds is in some of them only, which is right.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        splits = _splits(labels, num_rows, folds, groups, seed)
    for number, held_out in enumerate(splits):
        found[held_out] = number
    if labels is not None:
        for label in np.unique(labels):
            of_class = labels == label
            if len(np.unique(found[of_class])) < 2:
                found[of_class] = -1
    return found


def _splits(
    labels: np.ndarray | None,
    num_rows: int,
    folds: int,
    groups: np.ndarray | None,
    seed: int,
) -> list[np.ndarray]:
    from sklearn import model_selection as selection

    options = {"n_splits": folds, "shuffle": True, "random_state": seed}
    rows = np.zeros(num_rows)
    if labels is None and groups is None:
        splits = selection.KFold(**options).split(rows)
    elif labels is None:
        splits = selection.GroupKFold(**options).split(rows, groups=groups)
    elif groups is None:
        splits = selection.StratifiedKFold(**options).split(rows, labels)
    else:
        splits = selection.StratifiedGroupKFold(**options).split(rows, labels, groups)
    return [held_out for _, held_out in splits]
