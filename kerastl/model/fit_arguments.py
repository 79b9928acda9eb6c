"""What `ImageClassifier.fit` adds around Keras's own loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kerastl.data.class_weights import WeightedCollate
from kerastl.data.tasks import CLASSIFICATION, REGRESSION, task_of
from kerastl.model.losses import BY_NAME
from kerastl.optimizers.rates import last_rates


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
        loss = "binary_crossentropy" if num_classes == 1 else "sparse_categorical_crossentropy"
        if task != CLASSIFICATION:
            loss = task_of(task).loss
    return BY_NAME[loss]() if isinstance(loss, str) and loss in BY_NAME else loss


def resolve_metrics(metrics: Any, task: str, num_classes: int) -> Any:
    """The task's default metrics; others as they are."""
    if metrics is not None:
        return list(metrics) if isinstance(metrics, tuple) else metrics
    if task == CLASSIFICATION:
        return ["accuracy"]
    return [
        keras.metrics.AUC(curve="PR", multi_label=True, num_labels=num_classes, name=name)
        if name == "pr_auc"
        else name
        for name in task_of(task).metrics
    ]


def prepare(model: Any, x: Any, y: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The arguments of `keras.Model.fit`, checked, with kerastl's callbacks first.

    Args:
        model: The classifier.
        x: First argument of `fit`.
        y: Second argument of `fit`.
        kwargs: The others.

    Returns:
        `x`, with class weights in its batches where it is a `DataLoader`, and
        the other arguments.

    Raises:
        ValueError: If labels are out of range, or `num_classes` is not that
            of the data.
    """
    from kerastl.data.ordering import SeededOrder
    from kerastl.model.divergence import StopOnNonFiniteLoss

    kwargs = dict(kwargs)
    if y is not None:
        check_labels(y, model.num_classes, task=model.task)
    for name, data in (("x", x), ("validation_data", kwargs.get("validation_data"))):
        if _is_data_loader(data):
            _check_classes(name, data, model)
    _check_what_loaders_hold(x, y, kwargs)
    if _is_data_loader(x):
        kwargs.setdefault("shuffle", False)  # the loader's own business; Keras would warn
        if kwargs.get("class_weight"):
            x = _weighted(x, kwargs.pop("class_weight"))
    first: list[keras.callbacks.Callback] = [LearningRateLog(), StopOnNonFiniteLoss()]
    sampler = getattr(getattr(x, "batch_sampler", None), "sampler", None)
    if isinstance(sampler, SeededOrder):
        first.append(OrderPerEpoch(sampler))
    return x, with_callbacks(model, kwargs, before=first)


def with_callbacks(
    model: Any, kwargs: dict[str, Any], *, before: Sequence[Any] = (), after: Sequence[Any] = ()
) -> dict[str, Any]:
    """The arguments of `keras.Model.fit` with more callbacks around the user's."""
    given = kwargs.get("callbacks")
    if isinstance(given, keras.callbacks.CallbackList):
        for callback in (*before, *after):
            callback.set_model(model)
        given.callbacks[:] = [*before, *given.callbacks, *after]
        return kwargs
    listed = list(given) if isinstance(given, list | tuple) else [given] if given else []
    return {**kwargs, "callbacks": [*before, *listed, *after]}


def check_labels(labels: Any, num_classes: int, *, task: str = CLASSIFICATION) -> None:
    """Refuse integer labels that are no class; one-hot labels and numbers to predict pass.

    Raises:
        ValueError: Naming the first label that is out of range.
    """
    if task == REGRESSION:
        return
    try:
        values = np.asarray(keras.ops.convert_to_numpy(labels))
    except (TypeError, ValueError, RuntimeError):
        return  # Keras says better what it cannot take
    values = values[..., 0] if values.ndim == 2 and values.shape[-1] == 1 else values
    if values.ndim != 1 or values.size == 0 or not np.issubdtype(values.dtype, np.number):
        return
    highest = max(num_classes - 1, 1)
    wrong = values[(values < 0) | (values > highest)]
    if wrong.size:
        raise ValueError(
            f"Labels must be from 0 to {highest} for num_classes={num_classes}. "
            f"Received: {wrong.size} others, such as {wrong[0]}. "
            "Build the classifier with the number of classes of the data."
        )


def check_batch_labels(labels: Any, num_classes: int, *, task: str = CLASSIFICATION) -> None:
    """The same for one batch, where its labels are still in main memory.

    Keras's one-hot turns a label that is out of range into no class at all,
    so that nothing would stop a wrong set from training.
    """
    device = getattr(labels, "device", None)
    if getattr(device, "type", None) == "cpu" or isinstance(labels, np.ndarray):
        check_labels(labels, num_classes, task=task)


def _check_what_loaders_hold(x: Any, y: Any, kwargs: Mapping[str, Any]) -> None:
    """Refuse labels and weights beside a `DataLoader`: its own would be the ones that count."""
    validation = kwargs.get("validation_data")
    given = {
        "y": _is_data_loader(x) and y is not None,
        "sample_weight": _is_data_loader(x) and kwargs.get("sample_weight") is not None,
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
    """Refuse to change the set of frozen blocks under a compiled training step.

    Raises:
        RuntimeError: On JAX and TensorFlow, and where torch compiles the step.
    """
    backend = keras.backend.backend()
    if backend != "torch" or jit_compile:
        raise RuntimeError(
            "`freeze` and `unfreeze` within `fit` need a training step that is not compiled, as "
            f"torch's is. Received: backend={backend}, jit_compile={jit_compile}. "
            "Call them between two calls of `fit`."
        )


def takes_prefix_apart(images: Any, prefix: Any, *, jit_compile: bool) -> bool:
    """Whether a running `fit` computes the frozen prefix of these images outside the graph."""
    return (
        prefix is not None
        and prefix.is_on()
        and keras.backend.backend() == "torch"
        and not jit_compile
        and not getattr(images, "is_meta", False)
    )


def _weighted(loader: Any, class_weight: Mapping[int, float]) -> Any:
    """The same loader with class weights: Keras takes them for arrays only."""
    from torch.utils.data import DataLoader

    if loader.batch_sampler is None:
        raise ValueError(
            "`class_weight` needs a DataLoader that makes batches. Received: batch_size=None. "
            "Give sample weights as the third item of each batch."
        )
    return DataLoader(
        loader.dataset,
        batch_sampler=loader.batch_sampler,
        collate_fn=WeightedCollate(loader.collate_fn, class_weight),
        num_workers=loader.num_workers,
        pin_memory=loader.pin_memory,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
        generator=loader.generator,
        persistent_workers=loader.persistent_workers,
    )
