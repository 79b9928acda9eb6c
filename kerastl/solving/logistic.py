"""Penalised logistic regression, minimised to convergence; several weightings of rows at once.

For weights `w` of the rows, a penalty `p` and coefficients of standardised
features, the objective is

    (sum of w * cross-entropy + p / 2 * sum of coefficients ** 2) / sum of w

which has the minimum of scikit-learn's `LogisticRegression(C=1 / p)`. The bias
is not penalised. The search is Newton's, each step found by conjugate gradients
(Dembo and Steihaug, 1983); the products with the rows run in torch, on a GPU where
there is one. Along each axis of the rows the step is scaled by what the curvature
is at most (Boehning, 1992), or where the search starts. For exact solutions, which
go far along the weakest directions, the rows that curve the loss most are taken out
of that scaling, and count as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerastl.solving.basis import CHUNK, Basis
from kerastl.solving.rows import Rows
from kerastl.solving.searches import Product, newton

SOFTMAX = "softmax"
SIGMOID = "sigmoid"

_MOST_LOGITS = 2**23
_MOST_PRECISE = 2**26
_MOST_UNSURE_ROWS = 128
# Numbers in the matrices of unsure rows, one matrix per output: 8 MB.
_MOST_BETWEEN_UNSURE = 2**20
# Of the largest curvature: less is rounding.
_LEAST_CURVATURE = 1e-12


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
        self,
        penalty: np.ndarray,
        start: Coefficients | None,
        *,
        tolerance: float,
        bent_by: LogisticObjective | None = None,
    ) -> Coefficients:
        """The coefficients where the objective is least.

        Args:
            penalty: Of each output, or one for all, `(outputs,)` or `(1,)`.
            start: Where to begin; None: at 0.
            tolerance: Largest norm of the slope of a weighting (and, for `SIGMOID`, an
                output), in scaled steps, that may be left.
            bent_by: The same objective in float32, for an exact solution in float64: its
                curvature is what steps follow, as they need few digits of it.
        """
        import torch

        shape = (len(self._total), self._rows.num_outputs, len(self._basis.spread))
        curvature = self._bound() if start is None else self._curvature_at(start)
        pulls = penalty[:, None] / self._total[:, None, None]
        step = self._tensor(np.broadcast_to(1 / np.sqrt(curvature + pulls), shape))
        pull = self._tensor(pulls)
        # One tensor, so that the search takes one step along both.
        point = torch.zeros((*shape[:2], shape[2] + 1), dtype=self._type, device=self._device)
        if start is not None:
            point[..., :-1] = self._tensor(start.kernel) / step
            point[..., -1] = self._tensor(start.bias)

        def objective(at: Any) -> tuple[Any, Any]:
            with torch.no_grad():
                kernel = at[..., :-1] * step
                value, by_kernel, by_bias = self._at(kernel, at[..., -1])
                pulled = pull * kernel
                value = value + (pulled * kernel).sum(dtype=torch.float64) / 2
                return value, torch.cat([(by_kernel + pulled) * step, by_bias[..., None]], -1)

        near = self if bent_by is None else bent_by

        def bent_at(at: Any) -> Product:
            kind = near._type
            by_coordinate, held = step.to(kind), pull.to(kind)
            along_it = near._bent_at(at[..., :-1].to(kind) * by_coordinate, at[..., -1].to(kind))

            def product(along: Any) -> Any:
                with torch.no_grad():
                    kernel = along[..., :-1].to(kind) * by_coordinate
                    by_kernel, by_bias = along_it(kernel, along[..., -1].to(kind))
                    scaled = (by_kernel + held * kernel) * by_coordinate
                    return torch.cat([scaled, by_bias[..., None]], -1).to(self._type)

            return product

        near_inverse = None if bent_by is None else self._preconditioner(point, step, pull)
        together = (1, 2) if self._loss == SOFTMAX else (2,)
        found = newton(
            objective, bent_at, near_inverse, point, together=together, tolerance=tolerance
        )
        slope = float(objective(found)[1].abs().max())
        kernel, bias = _numpy(found[..., :-1] * step), _numpy(found[..., -1])
        if self._loss == SOFTMAX:
            bias -= bias.mean(1, keepdims=True)  # no effect, and no penalty that would say so
        return Coefficients(kernel, bias, slope)

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
        curvature: Any = 0.0
        kernel, bias = self._tensor(found.kernel), self._tensor(found.bias)
        with torch.no_grad():
            for features, logits, _, share in self._passes(kernel, bias):
                given = logits.softmax(1) if self._loss == SOFTMAX else logits.sigmoid()
                curvature += (given * (1 - given) * share).flatten(0, 1) @ features**2
        bent = _numpy(curvature).reshape(found.kernel.shape)
        # One for all classes: their common part has no effect on a softmax, and must stay 0.
        return bent.mean(1, keepdims=True) if self._loss == SOFTMAX else bent

    def _preconditioner(self, point: Any, step: Any, pull: Any) -> Product | None:
        """Nearly the inverse of the Hessian at a point, each output by itself.

        With weak penalties most rows are surely of their class and curve the loss no
        more: what curves it are the few that are unsure, in whatever direction they
        lie. These count as they are, by the identity of Woodbury (1950), and the
        others along each axis alone.
        """
        import torch

        if self._kept is None or len(self._rows) * self._rows.num_outputs > _MOST_LOGITS:
            return None
        with torch.no_grad():
            logits = point[..., :-1] * step @ self._kept.T + point[..., -1:]
            given = logits.softmax(1) if self._loss == SOFTMAX else logits.sigmoid()
            unsure = given * (1 - given) * self._shares[:, None]
            most = math.isqrt(_MOST_BETWEEN_UNSURE // (unsure.shape[0] * unsure.shape[1]))
            rows = unsure.sum((0, 1)).topk(min(len(self._rows), _MOST_UNSURE_ROWS, most)).indices
            few = torch.cat([self._kept[rows], torch.ones_like(self._kept[rows, :1])], 1)
            others = unsure.index_fill(2, rows, 0.0) @ self._kept**2 + pull
            diagonal = torch.cat([others, unsure.sum(2, keepdim=True)], 2)
            diagonal = diagonal.clamp_min(float(diagonal.max()) * _LEAST_CURVATURE)
            between = few / diagonal[..., None, :] @ few.T
            between += torch.diag_embed(1 / unsure[..., rows].clamp_min(_LEAST_CURVATURE))
            inverse = torch.cholesky_inverse(torch.linalg.cholesky(between))
            scale = torch.cat([step, torch.ones_like(step[..., :1])], 2)

        def near_inverse(along: Any) -> Any:
            alone = along / scale / diagonal
            of_few = (inverse @ (alone @ few.T)[..., None])[..., 0]
            return (alone - of_few @ few / diagonal) / scale

        return near_inverse

    def _at(self, kernel: Any, bias: Any) -> tuple[Any, Any, Any]:
        """The mean loss, and its slopes by coefficients and bias; all are tensors."""
        import torch

        kernel, bias = self._as_kept(kernel, bias)
        value: Any = 0.0
        by_kernel, by_bias = torch.zeros_like(kernel), torch.zeros_like(bias)
        for features, logits, targets, share in self._passes(kernel, bias):
            losses, slopes = _loss(self._loss, logits, targets)
            value += (losses * share).sum(dtype=torch.float64)
            slopes *= share
            by_kernel += (slopes.flatten(0, 1) @ features).view_as(by_kernel)
            by_bias += slopes.sum(2)
        return value, self._by_coordinate(by_kernel, by_bias), by_bias

    def _bent_at(self, kernel: Any, bias: Any) -> Callable[[Any, Any], tuple[Any, Any]]:
        """How the slopes of the mean loss change along a direction from here: its Hessian."""
        import torch

        def passes() -> Iterator[tuple[Any, Any, Any]]:
            with torch.no_grad():
                for features, logits, targets, share in self._passes(*self._as_kept(kernel, bias)):
                    if self._loss == SOFTMAX:
                        yield features, logits.softmax(1), share * targets.sum(0)
                    else:
                        yield features, logits.sigmoid(), share

        fits = len(self._rows) * bias.numel() <= _MOST_PRECISE
        kept = [(given, share) for _, given, share in passes()] if fits else None

        def again() -> Iterator[tuple[Any, Any, Any]]:
            if kept is None:
                yield from passes()
                return
            for (_, features, _), (given, share) in zip(self._chunks(), kept, strict=True):
                yield features, given, share

        def along(by_kernel: Any, by_bias: Any) -> tuple[Any, Any]:
            by_kernel, by_bias = self._as_kept(by_kernel, by_bias)
            flat = by_kernel.reshape(-1, by_kernel.shape[-1])
            of_kernel, of_bias = torch.zeros_like(by_kernel), torch.zeros_like(by_bias)
            for features, given, share in again():
                change = (flat @ features.T).view_as(given) + by_bias[..., None]
                if self._loss == SOFTMAX:
                    change = given * (change - (given * change).sum(1, keepdim=True))
                else:
                    change = given * (1 - given) * change
                change *= share
                of_kernel += (change.flatten(0, 1) @ features).view_as(of_kernel)
                of_bias += change.sum(2)
            return self._by_coordinate(of_kernel, of_bias), of_bias

        return along

    def _as_kept(self, kernel: Any, bias: Any) -> tuple[Any, Any]:
        """Coefficients for the rows as `_chunks` has them: coordinates, or raw features."""
        if self._kept is not None:
            return kernel, bias
        raw_kernel, raw_bias = self._basis.to_raw(_numpy(kernel), _numpy(bias))
        return self._tensor(raw_kernel), self._tensor(raw_bias)

    def _by_coordinate(self, by_kernel: Any, by_bias: Any) -> Any:
        """Slopes by coordinate, from those for the rows as `_chunks` has them."""
        if self._kept is not None:
            return by_kernel
        return self._tensor(self._basis.from_raw(_numpy(by_kernel), _numpy(by_bias)))

    def _passes(self, kernel: Any, bias: Any) -> Iterator[tuple[Any, Any, Any, Any]]:
        """Chunks: features, logits `(weightings, outputs, rows)`, targets, and weights alike."""
        # Rows last: BLAS is several times slower with a narrow matrix on the right.
        flat = kernel.reshape(-1, kernel.shape[-1])
        for where, features, targets in self._chunks():
            logits = (flat @ features.T).view(*bias.shape, len(features)) + bias[..., None]
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

        return torch.tensor(values, dtype=self._type, device=self._device)


def _numpy(values: Any) -> np.ndarray:
    return np.asarray(values.double().cpu().numpy())


def logits_of(
    rows: Rows, basis: Basis, found: Coefficients, weighting: np.ndarray | None = None
) -> np.ndarray:
    """Logits of every row, `(rows, outputs)`: float64, or float32 of very many.

    Args:
        rows: The rows.
        basis: Their coordinates.
        found: The coefficients.
        weighting: Which of the weightings each row is predicted with, `(rows,)`;
            -1 leaves NaN. None: the first.
    """
    if basis.coordinates is None:
        kernel, bias = basis.to_raw(found.kernel, found.bias)
        chunks = rows.chunks(CHUNK)
    else:
        kernel, bias = found.kernel, found.bias
        chunks = iter([(slice(0, len(rows)), basis.coordinates)])
    which = np.zeros(len(rows), int) if weighting is None else weighting
    # A million rows of a thousand classes take 4 GB as they are.
    kind = np.float32 if len(rows) * bias.shape[1] > _MOST_PRECISE else np.float64
    logits = np.full((len(rows), bias.shape[1]), np.nan, kind)
    for where, chunk in chunks:
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
