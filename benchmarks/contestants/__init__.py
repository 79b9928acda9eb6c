"""Who takes part. Importing this imports none of their libraries.

A contestant's module has `prepare(job)`, which builds the model and the data
and returns a function without arguments that trains and returns a
`TrainingOutcome`. Those that take part in the "loading" jobs have
`photo_batches(folder, job)` as well, and ours has `folder_batches(folder, job)`
for "many-files".
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Contestant:
    """One way to do the jobs.

    Attributes:
        name: Unique name.
        package: The package that must be installed, as it is imported.
    """

    name: str
    package: str

    @property
    def module(self) -> str:
        """Path of its module."""
        return f"{__name__}.{self.name}"

    @property
    def is_installed(self) -> bool:
        """Whether its package is there."""
        return importlib.util.find_spec(self.package) is not None


@dataclass(frozen=True)
class TrainingOutcome:
    """What is left of a training.

    Attributes:
        loss: Training loss of the last epoch.
        note: What the reader of the numbers should know, or "".
    """

    loss: float
    note: str = ""


OURS = "kerastl_fit"

CONTESTANTS: dict[str, Contestant] = {
    contestant.name: contestant
    for contestant in (
        Contestant(OURS, "kerastl"),
        Contestant("pytorch_loop", "torchvision"),
        Contestant("plain_keras", "keras"),
        Contestant("fastai_learner", "fastai"),
        Contestant("lightning_trainer", "lightning"),
    )
}


def select_rivals(names: Sequence[str] | None) -> list[Contestant]:
    """The contestants of these names beside ours; all, for None.

    Raises:
        ValueError: If there is no such contestant.
    """
    rivals = {name: contestant for name, contestant in CONTESTANTS.items() if name != OURS}
    for name in names or ():
        if name not in rivals:
            raise ValueError(
                f"`--rivals` must be names of contestants. Received: {name!r}. "
                f"There are: {', '.join(rivals)}."
            )
    return [rival for name, rival in rivals.items() if names is None or name in names]
