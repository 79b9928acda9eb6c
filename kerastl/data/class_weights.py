"""A weight for each image of a batch, by its class or its shares of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerastl.data.tasks import CLASSIFICATION
from kerastl.errors import unknown_name


class WeightByClass:
    """Gives each image of a batch a weight by its label, times the weight that it has.

    Args:
        weights: Weight of each class; 1 for the others.
    """

    def __init__(self, weights: Mapping[int, float]) -> None:
        self._weights = dict(weights)

    def __call__(
        self, labels: np.ndarray, weights: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The labels as they are, and the weights, float32, `(batch,)`."""
        found = image_weights(labels, self._weights)
        if weights is not None:
            if np.size(weights) != len(found):
                raise ValueError(
                    "The third item of a batch must be one weight per image, to go with "
                    f"`class_weight`. Received: weights of shape {np.shape(weights)} for "
                    f"{len(found)} images. Leave one of the two out."
                )
            found = found * np.asarray(weights).reshape(-1)
        return labels, found.astype(np.float32)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._weights})"


def image_weights(labels: Any, weights: Mapping[int, float]) -> np.ndarray:
    """The weight of each image: of shares of classes, as mixing makes them, the mean.

    Args:
        labels: Class numbers `(images,)` or `(images, 1)`, where numbers between
            0 and 1 are shares of the second of two classes; or a row of shares
            of classes each, `(images, classes)`.
        weights: Weight of each class; 1 for the others.

    Returns:
        float64, `(images,)`.

    Example:

    >>> image_weights(np.array([[1.0, 0.0], [0.5, 0.5]]), {0: 3.0})
    array([3., 2.])
    """
    labels = np.asarray(labels)
    if labels.ndim == 0:
        raise ValueError(
            "`class_weight` needs batches of labels. Received: a single label. Let the "
            "DataLoader make batches, with batch_size."
        )
    if labels.ndim == 2 and labels.shape[1] > 1:
        rows = labels.astype(np.float64)
        total = rows.sum(1)
        if (rows >= 0).all() and (total > 0).all():
            return np.asarray(rows @ weight_row(weights, rows.shape[1]) / total)
        labels = labels.argmax(1)  # as Keras has it, whatever such rows are
    numbers = labels.reshape(len(labels), -1)[:, 0]
    if numbers.dtype.kind == "f" and are_shares_of_two(numbers):
        first, second = weight_row(weights, 2)
        return np.asarray(first + (second - first) * numbers.astype(np.float64))
    return np.array([weights.get(int(number), 1.0) for number in np.rint(numbers)], np.float64)


def weight_row(weights: Mapping[int, float], count: int) -> np.ndarray:
    """The weight of every class, float64, `(count,)`."""
    return np.array([weights.get(number, 1.0) for number in range(count)], np.float64)


def are_shares_of_two(labels: np.ndarray) -> bool:
    """Whether labels are shares of the second of two classes, and no class numbers."""
    inside = (labels >= 0) & (labels <= 1)
    return bool(inside.all() and not np.array_equal(labels, np.rint(labels)))


def checked_class_weight(
    given: Any, *, names: Sequence[str] | None, task: str, num_outputs: int
) -> dict[int, float]:
    """Weights by class number, once they are known to make sense.

    Args:
        given: Weights by number or, where classes have names, by name; or a list,
            array or tensor of a weight for each class.
        names: Of the classes, or None.
        task: The model's.
        num_outputs: The model's; 1 is for two classes.

    Raises:
        ValueError: If there is no such class, a weight is no number from 0 on,
            or an image is not of one class.
        UnknownNameError: If there is no class of that name.
    """
    given = _by_class(given, max(num_outputs, 2))
    if given and task != CLASSIFICATION:
        raise ValueError(
            f"`class_weight` must be left out with task={task!r}, where an image is not of one "
            f"class. Received: class_weight={given}. Give sample weights."
        )
    found = {}
    for key, weight in given.items():
        number = key
        if isinstance(key, str):
            if key not in (names or ()):
                listing = f"Classes: {', '.join(names)}." if names else "The model has no names."
                raise unknown_name("class", key, names or (), how_to_list=listing)
            number = list(names or ()).index(key)
        count = max(num_outputs, 2)
        if int(number) != number or not 0 <= number < count:
            raise ValueError(
                f"`class_weight` must be by class, 0 to {count - 1}. Received: {key!r}. "
                "Name classes that the model has."
            )
        if not 0 <= float(weight) < float("inf"):
            raise ValueError(
                f"`class_weight` must have weights from 0 on. Received: {weight} for class {key}."
            )
        found[int(number)] = float(weight)
    return found


def _by_class(given: Any, count: int) -> dict[Any, Any]:
    """Weights as a dictionary, whatever they came as."""
    if isinstance(given, Mapping):
        return dict(given)
    if isinstance(given, str):
        raise ValueError(
            "`class_weight` must be a dictionary of weights by class, or a weight for each. "
            f"Received: {given!r}. Work them out, as with compute_class_weight of scikit-learn."
        )
    if hasattr(given, "to_dict"):
        return dict(given.to_dict())  # A Series of pandas, whose index says the classes.
    if hasattr(given, "detach"):
        given = given.detach().cpu().tolist()  # A tensor of torch.
    values = np.asarray(given)
    if values.shape != (count,) or values.dtype.kind not in "fiu":
        raise ValueError(
            f"`class_weight` must be a dictionary of weights by class, or {count} weights, one for "
            f"each class. Received: {type(given).__name__} of shape {values.shape}. Give one "
            "weight per class."
        )
    return dict(enumerate(values.tolist()))


def balanced_weights(labels: np.ndarray) -> dict[int, float]:
    """Weights that make every class count alike: images / (classes x images of the class).

    Args:
        labels: Class of each image, `(images,)`.
    """
    from sklearn.utils.class_weight import compute_class_weight

    classes = np.unique(labels)
    weights = compute_class_weight("balanced", classes=classes, y=labels)
    return {int(label): float(weight) for label, weight in zip(classes, weights, strict=True)}


def with_class_weights(x: Any, class_weight: Mapping[int, float]) -> Any:
    """The same batches with a weight per image, for what Keras takes no class weights with.

    Args:
        x: A `DataLoader`, `PyDataset`, `tf.data.Dataset` or generator.
        class_weight: Weight of each class; 1 for the others.

    Raises:
        ValueError: If a loader makes no batches.
    """
    from kerastl.data.changed_batches import with_changed_labels
    from kerastl.internals.loaders import is_data_loader

    if is_data_loader(x) and x.batch_sampler is None:
        raise ValueError(
            "`class_weight` needs a DataLoader that makes batches. Received: batch_size=None. "
            "Give sample weights as the third item of each batch."
        )
    return with_changed_labels(x, WeightByClass(class_weight))
