"""`kerastl.solving.searches`, against closed forms."""

from __future__ import annotations

from collections.abc import Callable

import torch

from kerastl.solving.searches import newton


def several(count: int = 3, width: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """Positive definite matrices, each of another size, and right-hand sides."""
    draws = torch.Generator().manual_seed(0)
    roots = torch.randn((count, width, width), generator=draws, dtype=torch.float64)
    sizes = torch.tensor([1.0, 30.0, 1000.0], dtype=torch.float64)[:, None, None]
    matrices = (roots @ roots.mT + torch.eye(width, dtype=torch.float64)) * sizes
    return matrices, torch.randn((count, width), generator=draws, dtype=torch.float64)


def by(matrices: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda along: (matrices @ along[..., None])[..., 0]


def test_quadratic_problems_are_solved_at_once_as_by_a_direct_method() -> None:
    matrices, wanted = several()
    product = by(matrices)

    def objective(at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        moved = product(at)
        return (at * (moved / 2 - wanted)).sum(), moved - wanted

    start = torch.zeros_like(wanted)
    found = newton(objective, lambda _: product, None, start, together=(1,), tolerance=1e-9)
    torch.testing.assert_close(found, torch.linalg.solve(matrices, wanted))


def test_with_the_inverse_one_product_for_each_step_is_enough() -> None:
    matrices, wanted = several()
    asked = []

    def product(along: torch.Tensor) -> torch.Tensor:
        asked.append(along)
        return by(matrices)(along)

    def objective(at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        moved = by(matrices)(at)
        return (at * (moved / 2 - wanted)).sum(), moved - wanted

    start = torch.zeros_like(wanted)
    inverse = by(torch.linalg.inv(matrices))
    found = newton(objective, lambda _: product, inverse, start, together=(1,), tolerance=1e-9)
    assert len(asked) == 1
    torch.testing.assert_close(found, torch.linalg.solve(matrices, wanted))


def test_a_step_that_goes_too_far_is_halved() -> None:
    # Newton's method by itself runs away from the minimum of log cosh beyond 1.09.
    def objective(at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.log(torch.cosh(at)).sum(), torch.tanh(at)

    def hessian_at(at: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda along: along / torch.cosh(at) ** 2

    start = torch.full((1, 1), 2.0, dtype=torch.float64)
    found = newton(objective, hessian_at, None, start, together=(1,), tolerance=1e-9)
    assert abs(float(found)) < 1e-8
