"""Labels of data by the names of their classes, in the order of a model's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np

from kerastl.data.class_weights import are_shares_of_two
from kerastl.data.tasks import CLASSIFICATION, MULTI_LABEL, REGRESSION
from kerastl.internals.loaders import is_data_loader

_SHOWN = 40


class NumberName(str):
    """The name of a class that was given none: its number."""


def class_names_of(x: Any) -> dict[int, str] | None:
    """The name of each class by its number, where data say it.

    torchvision's data sets have `classes`, and `class_to_idx` where the numbers
    are others than their places; parts and joined sets of these have what the
    whole has. Data sets of `keras.utils` have `class_names` or `class_indices`.

    Args:
        x: A `DataLoader`, or whatever else `fit` takes.

    Returns:
        Number -> name; None where nothing is said, or where the labels are
        changed after that (`target_transform`).

    Raises:
        ValueError: If sets with other classes are joined.
    """
    if is_data_loader(x):
        return _of_dataset(x.dataset)
    indices = getattr(x, "class_indices", None)
    if isinstance(indices, Mapping):
        return {int(number): str(name) for name, number in indices.items()}
    names = getattr(x, "class_names", None)
    return dict(enumerate(names)) if _are_names(names) else None


def _of_dataset(dataset: Any) -> dict[int, str] | None:
    from torch.utils.data import ConcatDataset, Subset

    if getattr(dataset, "target_transform", None) is not None:
        return None
    names = getattr(dataset, "classes", None)
    if names is None and isinstance(dataset, Subset):
        return _of_dataset(dataset.dataset)
    if names is None and isinstance(dataset, ConcatDataset):
        return _of_joined(dataset.datasets)
    if not _are_names(names):
        return None
    numbers = getattr(dataset, "class_to_idx", None)
    if isinstance(numbers, Mapping) and set(numbers) == set(names):
        return {int(number): name for name, number in numbers.items()}
    return dict(enumerate(names))


def _of_joined(datasets: Iterable[Any]) -> dict[int, str] | None:
    found = [_of_dataset(each) for each in datasets]
    if any(each is None for each in found):
        return None
    first, *others = (each for each in found if each is not None)
    for other in others:
        if other != first:
            raise ValueError(
                "Data sets that are joined must have the same classes in the same order. Received: "
                f"{listed(first.values())}; and {listed(other.values())}. Give them the same "
                "`class_to_idx`."
            )
    return first


def _are_names(names: Any) -> TypeGuard[Sequence[str]]:
    return (
        isinstance(names, Sequence)
        and not isinstance(names, str)
        and len(names) > 0
        and all(isinstance(name, str) for name in names)
    )


class Renumbered:
    """Labels with the numbers that a model has for the same names.

    Args:
        numbers: The data's number of a class -> the model's.
        columns: How many the model has, for rows of labels.
        always_rows: Whether one column is a row too, as with several labels.
    """

    def __init__(
        self, numbers: Mapping[int, int], columns: int, *, always_rows: bool = False
    ) -> None:
        self._numbers = dict(numbers)
        self._columns = columns
        self._always_rows = always_rows

    def __call__(
        self, labels: np.ndarray, weights: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The labels in the model's order, and the weights as they are."""
        labels = np.asarray(labels)
        is_wide = labels.ndim == 2 and (labels.shape[1] > 1 or self._always_rows)
        if not is_wide:
            return self._class_numbers(labels), weights
        if labels.shape[1] != len(self._numbers):
            raise ValueError(
                f"Rows of labels must have a column for each of the data's {len(self._numbers)} "
                f"classes. Received: {labels.shape[1]} columns. Mend the labels or the class names."
            )
        return self._rows(labels), weights

    def _rows(self, labels: np.ndarray) -> np.ndarray:
        rows = np.zeros((len(labels), self._columns), labels.dtype)
        for own, number in self._numbers.items():
            rows[:, number] = labels[:, own]
        return rows

    def _class_numbers(self, labels: np.ndarray) -> np.ndarray:
        if labels.dtype.kind == "f" and are_shares_of_two(labels) and len(self._numbers) == 2:
            # Between two classes: what is one's is not the other's.
            return labels if self._numbers[1] == 1 else 1 - labels
        made = labels.copy()
        unknown = (labels >= 0) & ~np.isin(labels, list(self._numbers))
        if unknown.any():
            raise ValueError(
                "Labels must be numbers of the data's classes, "
                f"0 to {max(self._numbers)}. Received: "
                f"{labels[unknown].reshape(-1)[0]}. Mend the labels or the class names."
            )
        for own, number in self._numbers.items():
            made[labels == own] = number
        return made

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._numbers}, {self._columns})"


def renumbering(
    names: Sequence[str], of_data: Mapping[int, str], *, task: str, num_outputs: int, data: str
) -> Renumbered | None:
    """How the data's labels become a model's; None where they are its already.

    Data may lack classes, as a small test set does, and may have them in another
    order. Numbers to predict must all be there.

    Args:
        names: The model's, in the order of its outputs.
        of_data: The data's, by number.
        task: The model's.
        num_outputs: Of the model; 1 is for two classes.
        data: What the data are called in an error.

    Raises:
        ValueError: If the data have other names than the model; lists both.
    """
    ordered = [of_data[number] for number in sorted(of_data)]
    if list(of_data) == list(range(len(of_data))) and ordered == list(names):
        return None
    are_only_numbers = any(isinstance(name, NumberName) for name in (*names, *ordered))
    if are_only_numbers and len(names) == len(ordered):
        return None
    unknown = [name for name in ordered if name not in set(names)]
    is_clear = len(set(names)) == len(names) and len(set(ordered)) == len(ordered)
    is_enough = task != REGRESSION or len(ordered) == len(names)
    if unknown or not is_clear or not is_enough or are_only_numbers:
        raise ValueError(_other_classes(names, ordered, data, is_clear=is_clear))
    place = {name: number for number, name in enumerate(names)}
    columns = max(num_outputs, 2) if task == CLASSIFICATION else num_outputs
    return Renumbered(
        {number: place[name] for number, name in of_data.items()},
        columns,
        always_rows=task in (MULTI_LABEL, REGRESSION),
    )


def _other_classes(
    names: Sequence[str], ordered: Sequence[str], data: str, *, is_clear: bool
) -> str:
    parts = [
        f"{who}: {listed(found)}"
        for who, found in (
            ("only in the data", [name for name in ordered if name not in set(names)]),
            ("only in the model", [name for name in names if name not in set(ordered)]),
        )
        if found
    ]
    if not is_clear:
        parts = ["a name that stands for several classes"]
    return (
        f"`{data}` must have the model's {len(names)} classes, or some of them, by name. Received: "
        f"{'; '.join(parts) or 'others'}. The model has {listed(names)}; the data have "
        f"{listed(ordered)}. Name data of the model's classes, or rename theirs."
    )


def listed(names: Iterable[str]) -> str:
    """Names in a sentence, shortened where they are many.

    Example:

    >>> listed(["cat", "dog"])
    'cat, dog'
    """
    shown = [str(name) for name in names]
    if len(shown) <= _SHOWN:
        return ", ".join(shown)
    return f"{', '.join(shown[:_SHOWN])} and {len(shown) - _SHOWN} more"
