"""Whether accuracies of a comparison differ by more than the choice of the images explains."""

from __future__ import annotations

from collections.abc import Sequence

from kerastl.evaluation import paired
from kerastl.evaluation.intervals import Interval, difference_interval, wilson
from kerastl.runs.comparison.measures import BackendRun


def accuracy_interval(run: BackendRun) -> Interval | None:
    """The 95 % interval of a backend's test accuracy, or None where there is none."""
    return wilson(sum(run.test_right), len(run.test_right)) if run.test_right else None


def sentences(runs: Sequence[BackendRun]) -> list[str]:
    """What the accuracies come to: of each backend beside the first, and of train beside test.

    Args:
        runs: Those that finished, the reference first.
    """
    judged = [run for run in runs if run.test_right]
    found = [_beside(judged[0], other) for other in judged[1:]]
    alike = [run.backend for run in judged if _trains_as_it_tests(run)]
    if alike:
        found.append(
            f"Train and test accuracy differ by less than the noise on {', '.join(alike)}."
        )
    return found


def _beside(reference: BackendRun, other: BackendRun) -> str:
    compared = paired.compare_right(reference.test_right, other.test_right)
    how = "less" if compared.is_noise else "more"
    return (
        f"Test accuracy ({compared.images:,} images): {other.backend} differs from "
        f"{reference.backend} by {how} than the noise ({compared.method}, "
        f"{paired.readable_p_value(compared.p_value)})."
    )


def _trains_as_it_tests(run: BackendRun) -> bool:
    if run.train_accuracy is None or not run.train_images:
        return False
    of_train = round(run.train_accuracy * run.train_images), run.train_images
    low, high = difference_interval(of_train, (sum(run.test_right), len(run.test_right)))
    return low <= 0 <= high
