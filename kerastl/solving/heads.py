"""Solve a head: choose the penalty by folds, then fit all rows with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import logsumexp

from kerastl.solving.basis import Basis, basis_of
from kerastl.solving.logistic import (
    SIGMOID,
    SOFTMAX,
    Coefficients,
    LogisticObjective,
    logits_of,
)
from kerastl.solving.ridge import RidgeObjective
from kerastl.solving.rows import Rows

SQUARED = "squared"
LOSSES = (SOFTMAX, SIGMOID, SQUARED)

DEFAULT_PENALTY = 100.0
"""Where no row can be held out to choose one by."""

# Penalties are 10 ** (number / 2): from where nothing is learnt to where nothing is held back.
_WEAKEST, _START, _STRONGEST = -6, 5, 12
# A loss of held-out rows that is worse by less than this is no worse.
_NEARLY = 1.01
# Norms of slopes. The choice between penalties needs no more; what is used of it does.
_PATH_TOLERANCE = 3e-3
_HELD_OUT_TOLERANCE = 3e-4
_LAST_TOLERANCE = 1e-6


Chosen = tuple[np.ndarray, np.ndarray, Coefficients]


@dataclass(frozen=True)
class Solution:
    """A head that was solved for.

    Attributes:
        kernel: For the features as they are, `(features, outputs)`.
        bias: `(outputs,)`.
        penalty: Of each output, or one for all, `(outputs,)` or `(1,)`: the
            factor of half the squared coefficients of standardised features,
            beside the sum of the losses; 1 / C in scikit-learn's terms.
        path: Each penalty that was tried, strongest first, with the mean loss
            on rows held out.
        held_out: What each row gets from the fold that it was held out of:
            logits, or numbers, `(rows, outputs)`; NaN where it never was.
        fitted: What each row gets from the head itself, likewise.
        gradient: Largest slope of the objective that is left, in scaled steps.
    """

    kernel: np.ndarray
    bias: np.ndarray
    penalty: np.ndarray
    path: tuple[tuple[float, float], ...]
    held_out: np.ndarray = field(repr=False)
    fitted: np.ndarray = field(repr=False)
    gradient: float


def held_out_outputs(
    rows: Rows, loss: str, folds: np.ndarray, *, device: str = "cpu"
) -> np.ndarray:
    """What each row gets from a head that was solved without it, at the best penalty.

    As `Solution.held_out`, where the head itself is not wanted.

    Args:
        rows: Features, targets and weights.
        loss: One of `LOSSES`.
        folds: Which fold holds each row out, -1 for none, `(rows,)`.
        device: Where the products run, as torch names it.
    """
    mean, scale = np.zeros(rows.num_outputs), np.ones(rows.num_outputs)
    if loss == SQUARED:
        rows, mean, scale = _standard_targets(rows)
    if not (folds >= 0).any():
        return np.full((len(rows), rows.num_outputs), np.nan)
    trials = _trials(rows, basis_of(rows), loss, folds, device)
    return trials.search(exactly=False)[1] * scale + mean


def held_out_losses(rows: Rows, loss: str, folds: np.ndarray, *, device: str = "cpu") -> np.ndarray:
    """The loss of each row at these outputs; arguments as there.

    Returns:
        `(rows, 1)` for "softmax", else `(rows, outputs)`; NaN where a row never was held out.
    """
    outputs = held_out_outputs(rows, loss, folds, device=device)
    return row_losses(loss, outputs, rows.target_rows(slice(0, len(rows))))


def _trials(rows: Rows, basis: Basis, loss: str, folds: np.ndarray, device: str) -> _Trials:
    numbers = np.unique(folds[folds >= 0])
    weights = rows.weights * (folds != numbers[:, None])
    which = np.where(folds >= 0, np.searchsorted(numbers, folds), -1)
    return _Trials(rows, basis, loss, weights, which, device)


@dataclass
class _Tried:
    """One penalty on the path: the losses of the held-out rows, one per output or one for all."""

    losses: np.ndarray
    found: Coefficients


def solve(
    rows: Rows,
    loss: str,
    folds: np.ndarray,
    *,
    penalty: float | np.ndarray | None = None,
    device: str = "cpu",
) -> Solution:
    """The head with the least penalised loss, its penalty the best on rows held out.

    Features are standardised; that is folded into kernel and bias.

    Args:
        rows: Features, targets and weights.
        loss: "softmax": one class per row; "sigmoid": each output by itself,
            with a penalty of its own; "squared": numbers, likewise.
        folds: Which fold holds each row out, -1 for none, `(rows,)`.
        penalty: Fixed instead of chosen.
        device: Where the products run, as torch names it.
    """
    if loss == SQUARED:
        rows, mean, scale = _standard_targets(rows)
    basis = basis_of(rows)
    numbers = np.unique(folds[folds >= 0])
    start: Coefficients | None = None
    path: tuple[tuple[float, float], ...] = ()
    held_out = np.full((len(rows), rows.num_outputs), np.nan)
    if penalty is None and not len(numbers):
        penalty = DEFAULT_PENALTY
    if len(numbers):
        trial = _trials(rows, basis, loss, folds, device)
        given = None if penalty is None else np.atleast_1d(np.asarray(penalty, float))
        penalty, held_out, start = trial.search() if given is None else trial.fixed(given)
        path = trial.path
    penalties = np.atleast_1d(np.asarray(penalty, float))
    if loss == SQUARED:
        found = RidgeObjective(rows, basis, rows.weights[None]).minimized(penalties)
    else:
        found = _minimized_exactly(rows, basis, loss, penalties, start, device)
    raw, bias = basis.to_raw(found.kernel[0], found.bias[0])
    kernel = raw.T
    fitted = logits_of(rows, basis, found)
    if loss == SQUARED:
        kernel, bias = kernel * scale, bias * scale + mean
        held_out, fitted = held_out * scale + mean, fitted * scale + mean
    return Solution(kernel, bias, penalties, path, held_out, fitted, found.gradient)


def _minimized_exactly(
    rows: Rows,
    basis: Basis,
    loss: str,
    penalty: np.ndarray,
    start: Coefficients | None,
    device: str,
) -> Coefficients:
    """The coefficients to rounding: slopes in float64, their change in float32, which is faster."""
    near, exact = (
        LogisticObjective(
            rows, basis, rows.weights[None], loss=loss, precise=precise, device=device
        )
        for precise in (False, True)
    )
    return exact.minimized(penalty, start, tolerance=_LAST_TOLERANCE, bent_by=near)


class _Trials:
    """Fits of all folds at once, one penalty after the other, each from the one before."""

    def __init__(
        self,
        rows: Rows,
        basis: Basis,
        loss: str,
        weights: np.ndarray,
        which: np.ndarray,
        device: str,
    ) -> None:
        self._rows, self._basis, self._loss, self._which = rows, basis, loss, which
        self._ridge = RidgeObjective(rows, basis, weights) if loss == SQUARED else None
        self._logistic = None
        if loss != SQUARED:
            self._logistic = LogisticObjective(
                rows, basis, weights, loss=loss, precise=False, device=device
            )
        self._tried: dict[int, _Tried] = {}

    @property
    def path(self) -> tuple[tuple[float, float], ...]:
        """Each penalty, strongest first, and the mean loss of the held-out rows."""
        return tuple(
            (_penalty(number), float(self._tried[number].losses.mean()))
            for number in sorted(self._tried, reverse=True)
        )

    def fixed(self, penalty: np.ndarray) -> Chosen:
        """A given penalty, the outputs of held-out rows at it, and where a fit on all may start."""
        return self._chosen(penalty, None, _HELD_OUT_TOLERANCE)

    def search(self, *, exactly: bool = True) -> Chosen:
        """The best penalty of each output, or for all, with the same.

        Args:
            exactly: Whether these are more exact than the choice needs.
        """
        for number in self._numbers():
            start = self._start(number)
            penalty = np.array([_penalty(number)])
            found = self._fit(penalty, start, _PATH_TOLERANCE)
            losses = mean_losses(self._loss, self._outputs(found), self._rows, self._which >= 0)
            self._tried[number] = _Tried(losses, found)
        best = self._best()
        chosen = np.array([_penalty(number) for number in best])
        parts = [self._tried[number].found for number in best]
        start = parts[0]
        if len(parts) > 1:
            columns = list(enumerate(parts))
            start = Coefficients(
                np.stack([part.kernel[:, column] for column, part in columns], 1),
                np.stack([part.bias[:, column] for column, part in columns], 1),
            )
        tolerance = _HELD_OUT_TOLERANCE if exactly else _PATH_TOLERANCE
        return self._chosen(chosen, start, tolerance)

    def _start(self, number: int) -> Coefficients | None:
        """Where the two nearest fits lead: a line, by the logarithm of the penalty."""
        known = sorted(self._tried, key=lambda other: abs(other - number))
        if not known:
            return None
        near = self._tried[known[0]].found
        if len(known) < 2:
            return near
        far = self._tried[known[1]].found
        return Coefficients(2 * near.kernel - far.kernel, 2 * near.bias - far.bias)

    def _chosen(self, penalty: np.ndarray, start: Coefficients | None, tolerance: float) -> Chosen:
        found = self._fit(penalty, start, tolerance)
        return penalty, self._outputs(found), found.mean

    def _outputs(self, found: Coefficients) -> np.ndarray:
        """What each row gets from the fit that it was held out of."""
        return logits_of(self._rows, self._basis, found, self._which)

    def _numbers(self) -> Iterator[int]:
        """From the middle down to where every loss has grown, then up likewise."""
        yield _START
        for step, last in ((-1, _WEAKEST), (1, _STRONGEST)):
            number = _START
            while number != last and number in self._best():
                number += step
                yield number

    def _best(self) -> list[int]:
        """The number of the best penalty for each loss: of those nearly as good the strongest."""
        numbers = sorted(self._tried, reverse=True)
        losses = np.stack([self._tried[number].losses for number in numbers])
        good = losses <= losses.min(0) * _NEARLY
        return [numbers[row] for row in good.argmax(0)]

    def _fit(
        self, penalty: np.ndarray, start: Coefficients | None, tolerance: float
    ) -> Coefficients:
        if self._ridge is not None:
            return self._ridge.minimized(penalty)
        if self._logistic is None:
            raise RuntimeError("A fit needs an objective.")
        return self._logistic.minimized(penalty, start, tolerance=tolerance)


def mean_losses(loss: str, outputs: np.ndarray, rows: Rows, chosen: np.ndarray) -> np.ndarray:
    """Weighted mean loss of some rows: of all outputs together, or of each.

    Args:
        loss: One of `LOSSES`.
        outputs: Logits or numbers, `(rows, outputs)`.
        rows: What they should be.
        chosen: Which rows count, bool, `(rows,)`.

    Returns:
        `(1,)` for "softmax", else `(outputs,)`.
    """
    size = 2**16
    total: Any = 0.0
    for start in range(0, len(rows), size):
        where = slice(start, min(start + size, len(rows)))
        keep = chosen[where]
        targets, found = rows.target_rows(where)[keep], outputs[where][keep]
        losses = row_losses(loss, found, targets)
        total = total + rows.weights[where][keep] @ losses
    return np.asarray(total / rows.weights[chosen].sum())


def row_losses(loss: str, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Loss of each row: of all outputs together, `(rows, 1)`, or of each, `(rows, outputs)`."""
    if loss == SOFTMAX:
        whole = logsumexp(outputs, 1, keepdims=True) * targets.sum(1, keepdims=True)
        return np.asarray(whole - (outputs * targets).sum(1, keepdims=True))
    if loss == SIGMOID:
        return np.asarray(np.logaddexp(0, outputs) - outputs * targets)
    return np.asarray((outputs - targets) ** 2)


def _penalty(number: int) -> float:
    return float(10.0 ** (number / 2))


def _standard_targets(rows: Rows) -> tuple[Rows, np.ndarray, np.ndarray]:
    """Targets of mean 0 and deviation 1, so that one range of penalties serves all."""
    targets = rows.target_rows(slice(0, len(rows)))
    share = rows.weights / rows.weights.sum()
    mean = share @ targets
    scale = np.sqrt(share @ (targets - mean) ** 2)
    scale = np.where(scale > 0, scale, 1.0)
    standard = Rows(rows.features, (targets - mean) / scale, rows.weights, rows.num_outputs)
    return standard, mean, scale
