"""Labels of whatever a model is given, in the model's own order, by the names of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kerastl.data.changed_batches import with_changed_labels
from kerastl.data.class_names import class_names_of, listed, renumbering
from kerastl.data.class_weights import checked_class_weight
from kerastl.data.tasks import CLASSIFICATION


def by_the_models_names(x: Any, model: Any, argument: str) -> Any:
    """The same data with labels in the order of the model's classes.

    Data that do not name their classes are taken as they are.

    Args:
        x: What a method of the model was given.
        model: The classifier.
        argument: What `x` is called in an error.

    Raises:
        ValueError: If the data have classes that the model does not have.
    """
    _check_white(x, model, argument)
    found = class_names_of(x)
    if found is None:
        return x
    names = model_names(model)
    if names is None:
        _check_count(found, model, argument)
        return x
    change = renumbering(
        names, found, task=model.task, num_outputs=model.num_classes, data=argument
    )
    return x if change is None else with_changed_labels(x, change)


def model_names(model: Any) -> Sequence[str] | None:
    """The names of a model's classes; of one that was given none, those that it was trained on."""
    names: Sequence[str] | None = model.class_names or model.names_of_training
    # Of one probability, a single name says nothing of the other class.
    return names if names is not None and len(names) == _expected(model) else None


def weights_by_the_models_names(class_weight: Any, model: Any) -> dict[int, float] | None:
    """Weights of a model's classes by number, as `checked_class_weight` takes them; None stays."""
    if class_weight is None:
        return None
    return checked_class_weight(
        class_weight,
        names=model_names(model),
        task=model.task,
        num_outputs=model.num_classes,
    )


def validation_by_names(data: Any, model: Any) -> Any:
    """The same for `validation_data`, which may be a tuple of one."""
    if isinstance(data, tuple | list):
        if len(data) != 1:
            return data
        (data,) = data
    return by_the_models_names(data, model, "validation_data")


def names_to_remember(x: Any, model: Any) -> tuple[str, ...] | None:
    """What the classes that a model is trained on are called; None where that is not known."""
    found = class_names_of(x)
    if found is None or list(found) != list(range(_expected(model))):
        return None
    return tuple(found.values())


def white_of_data(x: Any) -> int | None:
    """The value of 16-bit grey that is white in data; None where it is not known."""
    white: int | None = getattr(getattr(x, "dataset", None), "white", None)
    return white


def _check_white(x: Any, model: Any, argument: str) -> None:
    """Refuse 16-bit images that were read with another range than the model's."""
    white = white_of_data(x)
    if white is not None and model.white is not None and white != model.white:
        raise ValueError(
            f"`{argument}` must have 16-bit images read as the model's were, with {model.white} "
            f"as white. Received: white={white}. Load them with white={model.white}."
        )


def _expected(model: Any) -> int:
    """One probability is of two classes."""
    count: int = model.num_classes
    return count if model.task != CLASSIFICATION else max(count, 2)


def _check_count(found: dict[int, str], model: Any, argument: str) -> None:
    if len(found) == _expected(model):
        return
    received = (
        f"Received: num_classes={model.num_classes}, but `{argument}` has {len(found)} classes"
    )
    if argument == "x" and not model.names_of_training:
        raise ValueError(
            f"`num_classes` must be the data's. {received}. "
            f"Build the classifier with num_classes={len(found)}."
        )
    raise ValueError(
        f"`{argument}` must have the model's classes. {received}: {listed(found.values())}. "
        "Set `model.class_names`, so that classes are matched by name."
    )
