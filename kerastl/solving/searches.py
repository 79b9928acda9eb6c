"""The search for the minimum of smooth convex objectives, all in torch.

SciPy's searches take turns with torch for the processor: for vectors longer than 10,000
numbers OpenBLAS wakes threads of its own, which wait in loops beside torch's. On two cores
SciPy's own part of a search then took as long as the products with the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Objective = Callable[[Any], tuple[Any, Any]]
"""Value and slope at a point."""
Product = Callable[[Any], Any]
"""What a symmetric matrix makes of a vector."""

_MOST_STEPS = 100
_MOST_PRODUCTS = 500
_MOST_HALVINGS = 30
# Of the gain that the slope promises, what a step must bring (Armijo, 1966).
_PROMISED = 1e-4
# Of the slope, what a step may leave where it is still large.
_LEAST_EXACT = 0.3
_TINY = 1e-30


def newton(
    objective: Objective,
    hessian_at: Callable[[Any], Product],
    precondition: Product | None,
    point: Any,
    *,
    together: tuple[int, ...],
    tolerance: float,
) -> Any:
    """The minima of several problems at once, by Newton steps that conjugate gradients find.

    Each step is found as exactly as the slope is small (Dembo and Steihaug,
    1983), and halved until it brings a gain.

    Args:
        objective: Sum of the values of all problems, and its slope.
        hessian_at: The product with the Hessian at a point; few digits will do.
        precondition: The product with what is near its inverse; None: with 1.
        point: Where to begin.
        together: The axes of the point that one problem has; others number the problems.
        tolerance: Largest norm of the slope of a problem that may be left.
    """
    value, slope = objective(point)
    for _ in range(_MOST_STEPS):
        size = _dot(slope, slope, together).sqrt()
        if size.max() <= tolerance:
            break
        exactness = (size.sqrt().clamp_max(_LEAST_EXACT) * size).clamp_min(tolerance / 2)
        step = _solved(hessian_at(point), precondition, -slope, together, exactness)
        promised = _PROMISED * float((slope * step).sum())
        for _ in range(_MOST_HALVINGS):
            next_value, next_slope = objective(point + step)
            if next_value <= value + promised:
                break
            step, promised = step / 2, promised / 2
        else:
            break  # no lower point in this direction: all that is left is rounding
        point, value, slope = point + step, next_value, next_slope
    return point


def _solved(
    product: Product,
    precondition: Product | None,
    wanted: Any,
    together: tuple[int, ...],
    tolerance: Any,
) -> Any:
    """What the product makes `wanted` of, by preconditioned conjugate gradients."""
    found, left = wanted * 0, wanted
    direction = near = left if precondition is None else precondition(left)
    agreement = _dot(left, near, together)
    for _ in range(_MOST_PRODUCTS):
        moved = product(direction)
        # A convex objective curves upwards, but for rounding.
        length = agreement / _dot(direction, moved, together).clamp_min(_TINY)
        found = found + length * direction
        left = left - length * moved
        if (_dot(left, left, together).sqrt() <= tolerance).all():
            break
        near = left if precondition is None else precondition(left)
        agreement, before = _dot(left, near, together), agreement
        direction = near + agreement / before.clamp_min(_TINY) * direction
    return found


def _dot(one: Any, other: Any, axes: tuple[int, ...]) -> Any:
    return (one * other).sum(axes, keepdim=True)
