"""Standardised features, turned to their principal axes, where a penalised fit is fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kerastl.solving.rows import Rows

CHUNK = 4096
"""Rows that are standardised at a time."""

_MOST_IN_MEMORY = 2**24
# Above this the axes take longer than they save: eigenvectors are cubic in the features.
_MOST_TURNED = 2048
_LEAST_SHARE = 0.3
"""Least scale of a feature, as a share of the root mean square of all deviations."""

# An axis along which rows vary by a millionth of the widest is rounding.
_SMALLEST_SHARE = 1e-12


@dataclass(frozen=True)
class Basis:
    """Coordinates of rows: standardised, and turned so that no two go together.

    The turning keeps lengths, so that an L2 penalty is the same in both.

    Attributes:
        mean: Of each feature, weighted, `(features,)`.
        scale: What each is divided by: its standard deviation, or a share of
            all features' where that is larger, `(features,)`.
        axes: Orthonormal columns, `(features, coordinates)`; None where
            coordinates are the standardised features themselves.
        spread: Sum of squares along each axis, weighted, `(coordinates,)`.
        coordinates: Of every row, `(rows, coordinates)`, float64; None where
            they are too many to be kept beside the features.
    """

    mean: np.ndarray
    scale: np.ndarray
    axes: np.ndarray | None
    spread: np.ndarray
    coordinates: np.ndarray | None

    def standardized(self, features: np.ndarray) -> np.ndarray:
        """Features with mean 0 and deviation 1, or less where they hardly vary."""
        return (features - self.mean) / self.scale

    def to_raw(self, kernel: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Kernel and bias for the features as they are.

        Args:
            kernel: By coordinate, `(..., coordinates)`.
            bias: `(...)`.
        """
        standard = kernel if self.axes is None else kernel @ self.axes.T
        raw = standard / self.scale
        return raw, bias - raw @ self.mean

    def from_raw(self, by_kernel: np.ndarray, by_bias: np.ndarray) -> np.ndarray:
        """Slopes by coordinate, from those by the kernel and bias for features as they are."""
        standard = (by_kernel - by_bias[..., None] * self.mean) / self.scale
        return standard if self.axes is None else standard @ self.axes


def basis_of(rows: Rows) -> Basis:
    """Standardise rows and find their axes; the rows themselves are read in chunks."""
    mean, scale = _moments(rows)
    plain = Basis(mean, scale, None, np.empty(0), None)
    count, width = len(rows), rows.num_features
    if count < width and count <= _MOST_TURNED:
        return _few_rows(rows, plain)
    fits = count * width <= _MOST_IN_MEMORY
    kept = _all_standardized(rows, plain) if fits else None
    if width > _MOST_TURNED:
        spread = np.full(width, rows.weights.sum())
        return Basis(mean, scale, None, spread, kept)
    squares = np.zeros((width, width))
    for where, chunk in rows.chunks(CHUNK):
        standard = plain.standardized(chunk) * np.sqrt(rows.weights[where])[:, None]
        squares += standard.T @ standard
    spread, axes = _widest(*np.linalg.eigh(squares))
    return Basis(mean, scale, axes, spread, None if kept is None else kept @ axes)


def _few_rows(rows: Rows, plain: Basis) -> Basis:
    """Fewer rows than features: the rows span all that matters."""
    standard = _all_standardized(rows, plain)
    root = np.sqrt(rows.weights)[:, None]
    weighted = standard * root
    spread, turned = _widest(*np.linalg.eigh(weighted @ weighted.T))
    axes = weighted.T @ (turned / np.sqrt(spread))
    # Rows without weight may lie outside of what the others span: only they lose by it.
    coordinates = turned * np.sqrt(spread) / root if root.all() else standard @ axes
    return Basis(plain.mean, plain.scale, axes, spread, coordinates)


def _moments(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    total = rows.weights.sum()
    mean = np.zeros(rows.num_features)
    for where, chunk in rows.chunks(CHUNK):
        mean += rows.weights[where] @ chunk
    mean /= total
    variance = np.zeros_like(mean)
    for where, chunk in rows.chunks(CHUNK):
        variance += rows.weights[where] @ (chunk - mean) ** 2
    deviation = np.sqrt(variance / total)
    # Of few images many features hardly vary (they are behind a ReLU). Divided by their own
    # deviation they would get kernel entries of hundreds, and be worth noise on other images.
    least = _LEAST_SHARE * np.sqrt(np.mean(deviation**2))
    scale = np.maximum(deviation, least)
    return mean, np.where(scale > 0, scale, 1.0)


def _all_standardized(rows: Rows, plain: Basis) -> np.ndarray:
    return np.concatenate([plain.standardized(chunk) for _, chunk in rows.chunks(CHUNK)])


def _widest(spread: np.ndarray, axes: np.ndarray) -> tuple[np.ndarray, Any]:
    kept = spread > max(spread[-1] * _SMALLEST_SHARE, np.finfo(np.float64).tiny)
    kept[-1] = True  # all rows alike: one axis, along which nothing can be learnt
    return np.maximum(spread[kept], np.finfo(np.float64).tiny), axes[:, kept]
