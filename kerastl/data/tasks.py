"""What a model predicts: one class, several, or numbers. Imports neither torch nor Keras."""

from __future__ import annotations

from dataclasses import dataclass

from kerastl.errors import unknown_name

CLASSIFICATION = "classification"
MULTI_LABEL = "multi-label"
REGRESSION = "regression"


@dataclass(frozen=True)
class Task:
    """One kind of prediction.

    Attributes:
        name: Its name.
        activation: Of the last layer.
        metrics: The default metrics, by name.
    """

    name: str
    activation: str
    metrics: tuple[str, ...]


_TASKS = {
    task.name: task
    for task in (
        Task(CLASSIFICATION, "softmax", ("accuracy",)),
        Task(MULTI_LABEL, "sigmoid", ("pr_auc",)),
        Task(REGRESSION, "linear", ("mean_absolute_error",)),
    )
}
TASKS: tuple[str, ...] = tuple(_TASKS)


def task_of(name: str) -> Task:
    """The task of that name.

    Raises:
        UnknownNameError: If there is none; lists all.

    Example:

    >>> task_of("multi-label").activation
    'sigmoid'
    """
    check_task(name)
    return _TASKS[name]


def check_task(name: str) -> None:
    """Refuse a task that does not exist.

    Raises:
        UnknownNameError: If there is none; lists all.
    """
    if name not in _TASKS:
        raise unknown_name("task", name, _TASKS, how_to_list=f"Tasks: {', '.join(_TASKS)}.")
