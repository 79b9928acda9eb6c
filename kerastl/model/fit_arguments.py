"""Check the arguments of `fit`, and add callbacks, default loss and metrics."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras

from kerastl.data.class_weights import with_class_weights
from kerastl.data.ordering import SeededOrder
from kerastl.data.tasks import CLASSIFICATION, task_of
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
) -> tuple[Any, dict[str, Any]]:
    """The arguments of `keras.Model.fit`, once they are known to go together.

    Args:
        model: The classifier.
        x: First argument of `fit`.
        y: Second argument of `fit`.
        options: The others.

    Returns:
        `x`, with class weights in its batches where it is a `DataLoader`, and
        the other arguments.

    Raises:
        ValueError: If labels are out of range, or `num_classes` is not that
            of the data.
    """
    options = dict(options)
    if y is not None:
        check_labels(y, model._allowed_labels, model.num_classes)
    for name, data in (("x", x), ("validation_data", options["validation_data"])):
        if _is_data_loader(data):
            _check_classes(name, data, model)
    _check_what_loaders_hold(x, y, options)
    if _is_data_loader(x):
        # The loader's own business; Keras would warn of what is its own default.
        options["shuffle"] = False
        if options["class_weight"]:
            x = with_class_weights(x, options["class_weight"])
            options["class_weight"] = None
    return x, options


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
        "y": _is_data_loader(x) and y is not None,
        "sample_weight": _is_data_loader(x) and options["sample_weight"] is not None,
        "validation_data": isinstance(validation, tuple | list)
        and len(validation) > 1
        and _is_data_loader(validation[0]),
    }
    for name, is_given in given.items():
        if is_given:
            raise ValueError(
                "A DataLoader must hold labels and weights itself, in batches (images, labels) or "
                f"(images, labels, weights). Received: `{name}` with others beside it."
            )


def _check_classes(name: str, loader: Any, model: Any) -> None:
    """Refuse a data set that names its classes, as torchvision's do, and has another number."""
    classes = getattr(loader.dataset, "classes", None)
    if classes is None or getattr(loader.dataset, "target_transform", None) is not None:
        return
    num_classes = model.num_classes
    expected = num_classes if model.task != CLASSIFICATION else max(num_classes, 2)
    if len(classes) != expected:
        raise ValueError(
            f"`num_classes` must be the data's. Received: num_classes={num_classes}, but `{name}` "
            f"has {len(classes)} classes. Build the classifier with num_classes={len(classes)}."
        )


def _is_data_loader(x: Any) -> bool:
    try:
        from torch.utils.data import DataLoader
    except ImportError:
        return False
    return isinstance(x, DataLoader)


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
