"""kerastl's own choice among several ways to train, once it has one."""

from __future__ import annotations

from benchmarks.accuracy.tasks import NotAvailableError, Outcome, Task


def measure(task: Task) -> Outcome:
    """Nothing yet.

    Raises:
        NotAvailableError: Always.
    """
    raise NotAvailableError("kerastl has no `pick` yet")
