"""The rows of the table: each a function from a task to accuracy and seconds."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

from benchmarks.accuracy.tasks import NotAvailableError, Outcome, Task


@dataclass(frozen=True)
class RowKind:
    """One way to train.

    Attributes:
        name: On the command line and in the table.
        module: Its module here, with a function `measure(task, **options)`.
        options: For `measure`.
        package: What has to be installed, beside kerastl's own needs.
    """

    name: str
    module: str
    options: tuple[tuple[str, str], ...] = ()
    package: str | None = None

    @property
    def is_ours(self) -> bool:
        """Whether kerastl trains."""
        return self.module.startswith("kerastl")

    def measure(self, task: Task) -> Outcome:
        """Train and score.

        Raises:
            NotAvailableError: If that cannot be done here.
        """
        if self.package is not None and find_spec(self.package) is None:
            raise NotAvailableError(f"{self.package} is not installed")
        module = importlib.import_module(f"{__name__}.{self.module}")
        measure: Callable[[Task], Outcome] = partial(module.measure, **dict(self.options))
        return measure(task)


AUTO = "auto"

ROWS: dict[str, RowKind] = {
    kind.name: kind
    for kind in (
        *(
            RowKind(name, "kerastl_run", (("strategy", name),))
            for name in ("feature-extraction", "partial", "full", AUTO)
        ),
        RowKind("pick", "kerastl_pick"),
        RowKind("logistic-regression", "logistic_regression", package="sklearn"),
        RowKind("fastai", "fastai_fine_tune", package="fastai"),
        RowKind("pytorch", "pytorch_tutorial", (("trains", "everything"),)),
        RowKind("pytorch-frozen", "pytorch_tutorial", (("trains", "last layer"),)),
    )
}
