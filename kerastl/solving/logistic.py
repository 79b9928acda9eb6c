"""Penalised logistic regression, minimised to convergence; several weightings of rows at once.

For weights `w` of the rows, a penalty `p` and coefficients of standardised
features, the objective is

    (sum of w * cross-entropy + p / 2 * sum of coefficients ** 2) / sum of w

which has the minimum of scikit-learn's `LogisticRegression(C=1 / p)`. The bias
is not penalised. L-BFGS (Liu and Nocedal, 1989) is SciPy's; the products with
the rows run in torch, on a GPU where there is one. Along each axis of the rows
the step is scaled by what the curvature is at most (Boehning, 1992).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

from kerastl.solving.basis import CHUNK, Basis
from kerastl.solving.rows import Rows

SOFTMAX = "softmax"
SIGMOID = "sigmoid"

_MOST_LOGITS = 2**23
_HISTORY = 10
_MOST_STEPS = 5000
_GAIN_SHARE = 1e-4


@dataclass(frozen=True)
class Coefficients:
    """What a head is made of, for several weightings of the rows.

    Attributes:
        kernel: By coordinate, `(weightings, outputs, coordinates)`.
        bias: `(weightings, outputs)`.
        gradient: Largest absolute slope of the objective that is left, in scaled steps.
    """

    kernel: np.ndarray
    bias: np.ndarray
    gradient: float = np.inf

    @property
    def mean(self) -> Coefficients:
        """The mean over the weightings, as one: where a fit on all rows may start."""
        return Coefficients(self.kernel.mean(0, keepdims=True), self.bias.mean(0, keepdims=True))


class LogisticObjective:
    """The objective for several weightings of the same rows.

    Args:
        rows: Features and targets.
        basis: Their coordinates.
        weights: Of each row in each weighting, `(weightings, rows)`.
        loss: `SOFTMAX`: one class per row; `SIGMOID`: each output by itself.
        precise: Whether products are in float64, else in float32.
        device: Where they run, as torch names it.
    """

    def __init__(
        self,
        rows: Rows,
        basis: Basis,
        weights: np.ndarray,
        *,
        loss: str,
        precise: bool,
        device: str = "cpu",
    ) -> None:
        import torch

        self._rows, self._basis, self._loss = rows, basis, loss
        self._type = torch.float64 if precise else torch.float32
        self._numpy_type = np.float64 if precise else np.float32
        self._device = torch.device(device)
        self._total = weights.sum(1)
        self._shares = self._tensor(weights / self._total[:, None])
        self._kept = None if basis.coordinates is None else self._tensor(basis.coordinates)
        self._targets = None if self._kept is None else self._targets_of(slice(0, len(rows)))

    def minimized(
        self, penalty: np.ndarray, start: Coefficients | None, *, tolerance: float
    ) -> Coefficients:
        """The coefficients where the objective is least.

        Args:
            penalty: Of each output, or one for all, `(outputs,)` or `(1,)`.
            start: Where to begin; None: at 0.
            tolerance: Largest absolute slope, in scaled steps, that may be left.
        """
        shape = (len(self._total), self._rows.num_outputs, len(self._basis.spread))
        total, pulls = self._total[:, None, None], penalty[:, None]
        curvature = self._bound() if start is None else self._curvature_at(start)
        step = np.broadcast_to(np.sqrt(total / (curvature * total + pulls)), shape)
        size = step.size
        first = np.zeros(size + shape[0] * shape[1])
        if start is not None:
            first[:size] = (start.kernel / step).reshape(-1)
            first[size:] = start.bias.reshape(-1)

        def objective(point: np.ndarray) -> tuple[float, np.ndarray]:
            kernel = point[:size].reshape(shape) * step
            value, by_kernel, by_bias = self._at(kernel, point[size:].reshape(shape[:2]))
            pull = pulls * kernel / total
            value += float((pull * kernel).sum()) / 2
            return value, np.concatenate([((by_kernel + pull) * step).ravel(), by_bias.ravel()])

        # Rounding in float32 ends a search that its slope would not.
        least_gain = 0.0 if self._numpy_type == np.float64 else tolerance * _GAIN_SHARE
        options = {
            "gtol": tolerance,
            "ftol": least_gain,
            "maxiter": _MOST_STEPS,
            "maxfun": 2 * _MOST_STEPS,
            "maxcor": _HISTORY,
        }
        found = minimize(objective, first, jac=True, method="L-BFGS-B", options=options)
        kernel = found.x[:size].reshape(shape) * step
        slope = float(np.abs(found.jac).max())
        return Coefficients(kernel, found.x[size:].reshape(shape[:2]), slope)

    def _bound(self) -> np.ndarray:
        """The most that the mean loss curves along each axis, `(coordinates,)`."""
        outputs = self._rows.num_outputs
        of_one = (outputs - 1) / outputs**2 if self._loss == SOFTMAX and outputs > 1 else 0.25
        return np.asarray(of_one * self._basis.spread / self._rows.weights.sum())

    def _curvature_at(self, found: Coefficients) -> np.ndarray:
        """How much it curves along each axis, `(weightings, outputs, coordinates)`."""
        import torch

        if self._kept is None:
            return self._bound()
        curvature = np.zeros(found.kernel.shape)
        with torch.no_grad():
            for features, logits, _, share in self._passes(found.kernel, found.bias):
                given = logits.softmax(1) if self._loss == SOFTMAX else logits.sigmoid()
                bent = (given * (1 - given) * share).flatten(0, 1) @ features**2
                curvature += bent.double().cpu().numpy().reshape(curvature.shape)
        return curvature

    def _at(self, kernel: np.ndarray, bias: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """The mean loss, and its slopes by coefficients and bias."""
        import torch

        if self._kept is None:
            kernel, bias = self._basis.to_raw(kernel, bias)
        value, by_kernel, by_bias = 0.0, np.zeros(kernel.shape), np.zeros(bias.shape)
        with torch.no_grad():
            for features, logits, targets, share in self._passes(kernel, bias):
                losses, slopes = _loss(self._loss, logits, targets)
                value += float((losses * share).sum(dtype=torch.float64))
                slopes *= share
                products = slopes.flatten(0, 1) @ features
                by_kernel += products.double().cpu().numpy().reshape(kernel.shape)
                by_bias += slopes.sum(2, dtype=torch.float64).cpu().numpy()
        if self._kept is None:
            by_kernel = self._basis.from_raw(by_kernel, by_bias)
        return value, by_kernel, by_bias

    def _passes(self, kernel: np.ndarray, bias: np.ndarray) -> Iterator[tuple[Any, Any, Any, Any]]:
        """Chunks: features, logits `(weightings, outputs, rows)`, targets, and weights alike."""
        # Rows last: BLAS is several times slower with a narrow matrix on the right.
        flat = self._tensor(kernel.reshape(-1, kernel.shape[-1]))
        offset = self._tensor(bias)[:, :, None]
        for where, features, targets in self._chunks():
            logits = (flat @ features.T).view(*bias.shape, len(features)) + offset
            yield features, logits, targets, self._shares[:, None, where]

    def _chunks(self) -> Iterator[tuple[slice, Any, Any]]:
        size = max(_MOST_LOGITS // (len(self._total) * self._rows.num_outputs), 1)
        if self._kept is not None and self._targets is not None:
            for start in range(0, len(self._rows), size):
                where = slice(start, min(start + size, len(self._rows)))
                yield where, self._kept[where], self._targets[:, where]
            return
        for where, chunk in self._rows.chunks(min(size, CHUNK), self._numpy_type):
            yield where, self._tensor(chunk), self._targets_of(where)

    def _targets_of(self, where: slice) -> Any:
        return self._tensor(self._rows.target_rows(where).T)

    def _tensor(self, values: np.ndarray) -> Any:
        import torch

        return torch.as_tensor(np.ascontiguousarray(values), dtype=self._type, device=self._device)


def logits_of(
    rows: Rows, basis: Basis, found: Coefficients, weighting: np.ndarray | None = None
) -> np.ndarray:
    """Logits of every row, float64, `(rows, outputs)`.

    Args:
        rows: The rows.
        basis: Their coordinates.
        found: The coefficients.
        weighting: Which of the weightings each row is predicted with, `(rows,)`;
            -1 leaves NaN. None: the first.
    """
    kernel, bias = basis.to_raw(found.kernel, found.bias)
    which = np.zeros(len(rows), int) if weighting is None else weighting
    logits = np.full((len(rows), bias.shape[1]), np.nan)
    for where, chunk in rows.chunks(CHUNK):
        of_chunk, wanted = logits[where], which[where]
        for number in range(len(bias)):
            chosen = wanted == number
            of_chunk[chosen] = chunk[chosen] @ kernel[number].T + bias[number]
    return logits


def _loss(loss: str, logits: Any, targets: Any) -> tuple[Any, Any]:
    """Cross-entropies `(weightings, 1 or outputs, rows)`, and their slope by logit."""
    import torch

    if loss == SOFTMAX:
        normalizer = torch.logsumexp(logits, 1, keepdim=True)
        sums = targets.sum(0)
        losses = normalizer * sums - (logits * targets).sum(1, keepdim=True)
        return losses, torch.exp(logits - normalizer) * sums - targets
    losses = torch.nn.functional.softplus(logits) - logits * targets
    return losses, torch.sigmoid(logits) - targets
