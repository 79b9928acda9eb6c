"""Ridge regression in closed form, for several weightings of the rows (Hoerl and Kennard, 1970)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kerastl.solving.basis import CHUNK, Basis
from kerastl.solving.logistic import Coefficients
from kerastl.solving.rows import Rows


class RidgeObjective:
    """Half the weighted squares plus `penalty / 2 * sum of coefficients ** 2`, bias aside.

    Its minimum is that of scikit-learn's `Ridge(alpha=penalty)`.

    Args:
        rows: Features and targets.
        basis: Their coordinates.
        weights: Of each row in each weighting, `(weightings, rows)`.
    """

    def __init__(self, rows: Rows, basis: Basis, weights: np.ndarray) -> None:
        self._turned = [_normal_equations(rows, basis, of_rows) for of_rows in weights]

    def minimized(self, penalty: np.ndarray) -> Coefficients:
        """The coefficients where the objective is least.

        Args:
            penalty: Of each output, or one for all, `(outputs,)` or `(1,)`.
        """
        kernels, biases = [], []
        for spread, axes, products, center, mean in self._turned:
            kernel = (axes @ (products / (spread[:, None] + penalty))).T
            kernels.append(kernel)
            biases.append(mean - kernel @ center)
        return Coefficients(np.stack(kernels), np.stack(biases), 0.0)


_Turned = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _normal_equations(rows: Rows, basis: Basis, weights: np.ndarray) -> _Turned:
    """Both sides of them on the axes of the weighted rows, and the two means."""
    width = len(basis.spread)
    total = weights.sum()
    center, mean = np.zeros(width), np.zeros(rows.num_outputs)
    squares, products = np.zeros((width, width)), np.zeros((width, rows.num_outputs))
    for where, chunk in _coordinates(rows, basis):
        center += weights[where] @ chunk
        mean += weights[where] @ rows.target_rows(where)
    center, mean = center / total, mean / total
    for where, chunk in _coordinates(rows, basis):
        root = np.sqrt(weights[where])[:, None]
        shifted = (chunk - center) * root
        squares += shifted.T @ shifted
        products += shifted.T @ ((rows.target_rows(where) - mean) * root)
    spread, axes = np.linalg.eigh(squares)
    return np.maximum(spread, 0.0), axes, axes.T @ products, center, mean


def _coordinates(rows: Rows, basis: Basis) -> Iterator[tuple[slice, np.ndarray]]:
    for where, chunk in rows.chunks(CHUNK):
        if basis.coordinates is not None:
            yield where, basis.coordinates[where]
        else:
            standard = basis.standardized(chunk)
            yield where, standard if basis.axes is None else standard @ basis.axes
