"""Check the arguments of `fit`, and add callbacks, default loss and metrics."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kerastl.data.changed_batches import is_changeable
from kerastl.data.class_weights import (
    are_shares_of_two,
    image_weights,
    with_class_weights,
)
from kerastl.data.named_labels import (
    by_the_models_names,
    names_to_remember,
    validation_by_names,
    weights_by_the_models_names,
    white_of_data,
)
from kerastl.data.ordering import SeededOrder
from kerastl.data.tasks import CLASSIFICATION, task_of
from kerastl.internals.keras_adapters import train_validation_split
from kerastl.internals.loaders import is_data_loader
from kerastl.model.divergence import StopOnNonFiniteLoss
from kerastl.model.labels import check_labels
from kerastl.model.losses import BY_NAME, Accuracy, loss_of
from kerastl.optimizers.rates import last_rates
from kerastl.prefix.caching import CachedFit
from kerastl.prefix.running import RunningPrefix


class LearningRateLog(keras.callbacks.Callback):
    """Writes the rate of every block in the epoch's last step into its logs, 0 where frozen."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None:
            rates = last_rates(self.model)
            logs.update({f"learning_rate/{block}": rate for block, rate in rates.items()})


class OrderPerEpoch(keras.callbacks.Callback):
    """Draws one order after the other, whatever a look at a batch or workers drew ahead.

    Args:
        sampler: The order of a loader's images.
    """

    def __init__(self, sampler: Any) -> None:
        super().__init__()
        self._sampler = sampler
        self._next = sampler.epoch

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._sampler.set_epoch(self._next)
        self._next += 1

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        self._sampler.set_epoch(self._next)


def resolve_loss(loss: Any, task: str, num_classes: int) -> Any:
    """Keras's cross-entropies by name, and the task's default, taken from the logits."""
    if loss is None:
        return loss_of(task, num_classes=num_classes)
    return BY_NAME[loss]() if isinstance(loss, str) and loss in BY_NAME else loss


def resolve_metrics(metrics: Any, task: str, num_classes: int) -> Any:
    """The task's default metrics; others as they are."""
    if metrics is not None:
        return list(metrics) if isinstance(metrics, tuple) else metrics
    if task == CLASSIFICATION:
        # Keras's own settles at the first batch whether labels are one-hot, for good.
        return [Accuracy()] if num_classes > 1 else ["accuracy"]
    return [
        keras.metrics.AUC(curve="PR", multi_label=True, num_labels=num_classes, name=name)
        if name == "pr_auc"
        else name
        for name in task_of(task).metrics
    ]


def checked_arguments(
    model: Any, x: Any, y: Any, options: Mapping[str, Any]
) -> tuple[Any, Any, dict[str, Any]]:
    """The arguments of `keras.Model.fit`, once they are known to go together.

    Args:
        model: The classifier.
        x: First argument of `fit`.
        y: Second argument of `fit`.
        options: The others.

    Returns:
        The first two arguments, with labels in the model's order and class
        weights in the batches, and the others.

    Raises:
        ValueError: If labels are out of range, or the classes of the data are
            not the model's.
    """
    options = dict(options)
    if y is not None:
        check_labels(y, model._allowed_labels, model.num_classes)
    remembered = names_to_remember(x, model)
    if model.white is None:
        model.white = white_of_data(x)
    x = by_the_models_names(x, model, "x")
    if model.class_names is None:
        model.names_of_training = remembered
    options["validation_data"] = validation_by_names(options["validation_data"], model)
    _check_what_loaders_hold(x, y, options)
    options["class_weight"] = weights_by_the_models_names(options["class_weight"], model)
    weights = options["class_weight"] or None
    if is_data_loader(x):
        # The loader's own business; Keras would warn of what is its own default.
        options["shuffle"] = False
    if weights and is_changeable(x):
        x, options["class_weight"] = with_class_weights(x, weights), None
    elif weights and options["sample_weight"] is None and _are_shares(y):
        x, y, options = _with_weights_of_shares(x, y, options, weights)
    model.weigh_classes(weights)
    return x, y, options


def _are_shares(y: Any) -> bool:
    """Whether labels of arrays may be shares of classes, which Keras takes for whole classes."""
    if not hasattr(y, "shape") or len(y.shape) not in (1, 2):
        return False
    if len(y.shape) == 2 and y.shape[1] > 1:
        return True
    values = np.asarray(keras.ops.convert_to_numpy(y))
    return values.dtype.kind == "f" and are_shares_of_two(values)


def _with_weights_of_shares(
    x: Any, y: Any, options: dict[str, Any], weights: Mapping[int, float]
) -> tuple[Any, Any, dict[str, Any]]:
    """The same arrays with a weight per image; those of `validation_split` have none."""
    split = options["validation_split"]
    if split and options["validation_data"] is None:
        (x, y), held_out = train_validation_split((x, y), validation_split=split)
        options |= {"validation_data": held_out, "validation_split": 0.0}
    found = image_weights(keras.ops.convert_to_numpy(y), weights)
    return x, y, options | {"sample_weight": found.astype("float32"), "class_weight": None}


def own_callbacks(
    x: Any, *, before: Sequence[Any], after: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """kerastl's callbacks of a `fit`, before and after the user's.

    The rates are in the logs that the user's callbacks see. A loss that is not
    finite is for the user's callbacks first, as in Keras.

    Args:
        x: First argument of `fit`.
        before: More that come before the user's.
        after: More that come after the user's.
    """
    first: list[Any] = [LearningRateLog()]
    sampler = getattr(getattr(x, "batch_sampler", None), "sampler", None)
    if isinstance(sampler, SeededOrder):
        first.append(OrderPerEpoch(sampler))
    return [*before, *first], [StopOnNonFiniteLoss(), *after]


@contextlib.contextmanager
def with_callbacks(
    model: Any, given: Any, before: Sequence[Any], after: Sequence[Any]
) -> Iterator[Any]:
    """The argument `callbacks` of `keras.Model.fit` with others around the user's.

    A `CallbackList` of the user's has them within the block only.
    """
    if not isinstance(given, keras.callbacks.CallbackList):
        listed = list(given) if isinstance(given, list | tuple) else [given] if given else []
        yield [*before, *listed, *after]
        return
    for callback in (*before, *after):
        callback.set_params(given.params)
        callback.set_model(model)
    users = list(given.callbacks)
    given.callbacks[:] = [*before, *users, *after]
    try:
        yield given
    finally:
        given.callbacks[:] = users


def _check_what_loaders_hold(x: Any, y: Any, options: Mapping[str, Any]) -> None:
    """Refuse labels and weights beside a `DataLoader`: its own would be the ones that count."""
    validation = options["validation_data"]
    given = {
        "y": is_data_loader(x) and y is not None,
        "sample_weight": is_data_loader(x) and options["sample_weight"] is not None,
        "validation_data": isinstance(validation, tuple | list)
        and len(validation) > 1
        and is_data_loader(validation[0]),
    }
    for name, is_given in given.items():
        if is_given:
            raise ValueError(
                "A DataLoader must hold labels and weights itself, in batches (images, labels) or "
                f"(images, labels, weights). Received: `{name}` with others beside it."
            )


def check_can_freeze_within_fit(jit_compile: bool) -> None:
    """Refuse to change what blocks do under a compiled training step.

    Raises:
        RuntimeError: On JAX and TensorFlow, and where torch compiles the step.
    """
    backend = keras.backend.backend()
    if backend != "torch" or jit_compile:
        raise RuntimeError(
            "`freeze`, `unfreeze` and `batch_norm` within `fit` need a training step that is not "
            f"compiled, as torch's is. Received: backend={backend}, jit_compile={jit_compile}. "
            "Change blocks between two calls of `fit`."
        )


def prefix_apart(images: Any, fit: CachedFit | None, jit_compile: bool) -> RunningPrefix | None:
    """The frozen prefix, where a running `fit` computes it outside the graph; else None.

    Args:
        images: What the model is called with.
        fit: The running `fit`, a `CachedFit`, or None.
        jit_compile: Whether the training step is compiled.
    """
    if fit is None or fit.prefix is None or jit_compile or getattr(images, "is_meta", False):
        return None
    if getattr(images, "requires_grad", False):  # a callback may ask for the images' gradients
        return None
    on_torch = keras.backend.backend() == "torch"
    return fit.prefix if on_torch and fit.prefix.is_on else None
