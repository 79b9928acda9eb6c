"""`fit` and `evaluate` of a model that several processes train together.

Each process has its part of every batch; loss, gradients, metrics and the statistics
of batch norms are those of the whole batch, so that all processes have the weights and
the history of one.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import keras

from kerastl.blocks.batch_norm import TRAIN
from kerastl.data.part_of_batches import Blank
from kerastl.data.sharding import PartOfArrays, part_of_loader
from kerastl.errors import ProcessesError
from kerastl.internals.keras_adapters import get_data_adapter, train_validation_split
from kerastl.internals.loaders import is_data_loader
from kerastl.model import alike
from kerastl.prefix.caching import CachedFit
from kerastl.processes import group as processes
from kerastl.processes.group import Doing, Group
from kerastl.processes.metrics import added_up, check_additive
from kerastl.processes.share import Share, sharing

_WRITERS = (
    keras.callbacks.ModelCheckpoint,
    keras.callbacks.CSVLogger,
    keras.callbacks.TensorBoard,
    keras.callbacks.RemoteMonitor,
    keras.callbacks.ProgbarLogger,
)


class TrainsTogether(keras.Model):
    """A Keras model whose steps are those of all processes, where several train it."""

    train_function: Any
    test_function: Any

    def make_train_function(self, force: bool = False) -> None:
        """As in Keras."""
        before = self.train_function
        super().make_train_function(force)
        if processes.several() and self.train_function is not before:
            self.train_function = _together(self, self.train_function, Doing.TRAINING)

    def make_test_function(self, force: bool = False) -> None:
        """As in Keras."""
        before = self.test_function
        super().make_test_function(force)
        if processes.several() and self.test_function is not before:
            self.test_function = _together(self, self.test_function, Doing.EVALUATING)

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """As in Keras, of one process.

        Raises:
            ValueError: If several processes were to train, each by itself.
        """
        if processes.several():
            raise ValueError(
                "Several processes must train by `fit`: after `train_on_batch` their weights would "
                "differ. Received: `train_on_batch`. Call `fit`, or start one process."
            )
        return super().train_on_batch(*args, **kwargs)

    def save(self, *args: Any, **kwargs: Any) -> Any:
        """As in Keras; of several processes the first one alone writes."""
        if processes.writes():
            return super().save(*args, **kwargs)
        return None

    def save_weights(self, *args: Any, **kwargs: Any) -> Any:
        """As in Keras; of several processes the first one alone writes."""
        if processes.writes():
            return super().save_weights(*args, **kwargs)
        return None


# === A batch ===


def _together(model: Any, step: Callable[[Any], Any], doing: Doing) -> Callable[[Any], Any]:
    """A step on this process's part of a batch, with the losses and metrics of all parts."""

    is_checked = False

    def on_batches(batches: Any) -> Any:
        nonlocal is_checked
        group = processes.current()
        if group is None:
            return step(batches)
        if not is_checked:  # Keras makes its metrics when it sees the first batch
            check_additive(model.metrics)
            is_checked = True
        (batch,) = batches
        batch, share = _shared(group, batch, doing, _trainable_bits(model))
        if share.total:
            whole = _whole_batch(model, share) if doing is Doing.TRAINING else _NOTHING
            with added_up(model.metrics_variables, share), sharing(share), whole:
                step([batch])
        return model.get_metrics_result()

    return on_batches


_NOTHING = contextlib.nullcontext()


def _shared(group: Group, batch: Any, doing: Doing, bits: int) -> tuple[Any, Share]:
    """A batch with an image in it, and this process's share of the batch of all.

    Raises:
        ProcessesError: If other blocks train on another process.
    """
    own = 0 if isinstance(batch, Blank) else _count(batch)
    rows = group.meet(doing, own, bits)
    _check_alike(rows, bits, group)
    counts = [row[0] for row in rows]
    if not all(counts) and any(counts):
        source = next(rank for rank, count in enumerate(counts) if count)
        sample = _sample(batch) if group.rank == source else None
        sample = group.handed_on(sample, source=source)
        batch = batch if own else sample
    return batch, Share(group, own, sum(counts))


def _check_alike(rows: Any, bits: int, group: Group) -> None:
    other = next((rank for rank, row in enumerate(rows) if row[1] != bits), None)
    if other is not None:
        raise ProcessesError(
            "Blocks must be frozen and unfrozen on all processes alike. Received: other blocks "
            f"train on process {other} than on process {group.rank}. Decide by what all processes "
            "have in common, as the logs of a callback."
        )


def _count(batch: Any) -> int:
    return int(next(iter(keras.tree.flatten(batch))).shape[0])


def _sample(batch: Any) -> Any:
    return keras.tree.map_structure(lambda tensor: tensor[:1].cpu(), batch)


def _trainable_bits(model: Any) -> int:
    """Which layers of a model train, as a number."""
    bits = "".join("1" if layer.trainable else "0" for layer in model.layers)
    return int(hashlib.blake2b(bits.encode(), digest_size=7).hexdigest(), 16)


def _whole_batch(model: Any, share: Share) -> contextlib.AbstractContextManager[Any]:
    """What has batch norms and dropout go by the batch of all processes.

    Raises:
        ValueError: If batch norms that train cannot.
    """
    from kerastl.internals.torch_kernels import norms_of_other_kinds
    from kerastl.processes.whole_batch import WholeBatch

    modes: Mapping[str, str] = model.batch_norm
    for name in (name for name, mode in modes.items() if mode == TRAIN):
        network = getattr(model.get_layer(name), "network", None)
        if network is not None and (others := norms_of_other_kinds(network)):
            raise ValueError(
                "Blocks that several processes train must have batch norms of Keras's own class "
                f"over the last axis. Received: {others[0]} in {name!r}. Say "
                "batch_norm='frozen', freeze the block, or start one process."
            )
    return WholeBatch(share)


# === A call of `fit` or `evaluate` ===


@contextlib.contextmanager
def training(
    model: Any, group: Group | None, x: Any, y: Any, options: dict[str, Any], callbacks: Any
) -> Iterator[tuple[Any, dict[str, Any], Any]]:
    """What is done around a `fit`, of one process nothing.

    Args:
        model: The classifier.
        group: The processes, or None.
        x: First argument of `fit`.
        y: Second argument of `fit`.
        options: The others.
        callbacks: The user's.

    Yields:
        The first argument, a loader cut to this process's part, the others and the
        callbacks that this process is to have.

    Raises:
        ProcessesError: If the processes do not have the same data, options or model.
        ValueError: If something of it cannot be trained by several processes.
    """
    if group is None:
        yield x, options, callbacks
        return
    with group.telling_failure():
        callbacks = _own_callbacks(callbacks, group)
        alike.check_can_train(model, group, x, options)
        alike.check_same(model, group, "fit", x, y, options)
        alike.same_weights(model, group)
        options = {**options, "verbose": options["verbose"] if group.is_first else 0}
        validation = options["validation_data"]
        if is_data_loader(validation):
            options["validation_data"] = part_of_loader(validation, group)
        if is_data_loader(x):
            x = part_of_loader(x, group)
        _same_random_numbers(model, group)
        yield x, options, callbacks
        for loader in (x, validation):
            _share_broken(loader, group)


@contextlib.contextmanager
def evaluating(
    model: Any, group: Group | None, x: Any, y: Any, options: Mapping[str, Any]
) -> Iterator[tuple[Any, Any, dict[str, Any]]]:
    """What is done around an `evaluate`, of one process nothing.

    Args:
        model: The classifier.
        group: The processes, or None.
        x: First argument of `evaluate`.
        y: Second argument of `evaluate`.
        options: The others.

    Yields:
        The arguments, with the data cut to this process's part.

    Raises:
        ProcessesError: If the processes do not have the same data and options.
        ValueError: If the data cannot be cut.
    """
    if group is None:
        yield x, y, dict(options)
        return
    with group.telling_failure():
        alike.check_data(x, group, options["batch_size"])
        alike.check_same(model, group, "evaluate", x, y, options)
        options = {**options, "verbose": options["verbose"] if group.is_first else 0}
        if is_data_loader(x):
            yield part_of_loader(x, group), y, options
            return
        weights, options["sample_weight"] = options["sample_weight"], None
        size = options["batch_size"]
        part = part_of_arrays(x, y, weights, batch_size=size, steps=options["steps"], group=group)
        yield part, None, options


def _share_broken(loader: Any, group: Group) -> None:
    """Let each process know which images have turned out to be broken on any."""
    broken = getattr(loader.dataset, "broken", None) if is_data_loader(loader) else None
    if broken is not None:
        count = broken.long()
        group.add([count])
        broken.copy_(count > 0)


def _same_random_numbers(model: Any, group: Group) -> None:
    """Have all processes draw what process 0 draws: each takes its part of it."""
    import torch

    seeds = [variable for variable in model.variables if "seed_generator_state" in variable.name]
    random = torch.get_rng_state()
    group.hand_on([random, *(variable.value.data for variable in seeds)])
    torch.set_rng_state(random)
    if torch.cuda.is_available():
        random = torch.cuda.get_rng_state()
        group.hand_on([random])
        torch.cuda.set_rng_state(random)


class StopTogether(keras.callbacks.Callback):
    """Where one process is to stop, all do, at the same batch; the last of all callbacks.

    Args:
        group: The processes.
    """

    def __init__(self, group: Group) -> None:
        super().__init__()
        self._group = group

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.model.stop_training = self._group.agree(bool(self.model.stop_training))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.model.stop_training = self._group.agree(bool(self.model.stop_training))


def with_parts_of_arrays(fit: CachedFit, group: Group | None) -> CachedFit:
    """A call of `fit` whose arrays, those of features aside, are cut to this process's part.

    Args:
        fit: The call.
        group: The processes, or None.
    """
    if group is None:
        return fit
    x, y, options = fit.x, fit.y, dict(fit.options)
    # What goes with cached arrays is with their features already.
    weights, split = options.get("sample_weight"), options.get("validation_split")
    batch_size = options["batch_size"]
    if alike.is_array(x):
        if split and options["validation_data"] is None:
            (x, y, weights), held_out = train_validation_split(
                (x, y, weights), validation_split=split
            )
            options |= {"validation_data": held_out}
        adapter = get_data_adapter(
            x,
            y,
            sample_weight=weights,
            class_weight=options.get("class_weight"),
            batch_size=batch_size,
            shuffle=options["shuffle"],
            steps_per_epoch=options["steps_per_epoch"],
        )
        x, y = PartOfArrays(adapter, group), None
        options |= {"sample_weight": None, "class_weight": None, "validation_split": 0.0}
    validation = options["validation_data"]
    if isinstance(validation, tuple | list) and len(validation) > 1:
        options["validation_data"] = part_of_arrays(
            *validation,
            batch_size=options["validation_batch_size"] or batch_size,
            steps=options["validation_steps"],
            group=group,
        )
    after = (*fit.after, StopTogether(group))
    return replace(fit, x=x, y=y, options=options, after=after)


def part_of_arrays(
    x: Any, y: Any, weights: Any = None, *, batch_size: int | None, steps: int | None, group: Group
) -> Any:
    """Batches of arrays in their order, of which this process has its part.

    Args:
        x: Images.
        y: Labels.
        weights: Weights of the images, or None.
        batch_size: Images of a batch, on all processes.
        steps: Batches, or None for all.
        group: The processes.
    """
    adapter = get_data_adapter(
        x, y, sample_weight=weights, batch_size=batch_size, steps_per_epoch=steps, shuffle=False
    )
    return PartOfArrays(adapter, group)


def _own_callbacks(given: Any, group: Group) -> Any:
    """The user's callbacks that this process is to have.

    Args:
        given: The argument `callbacks` of `fit`.
        group: The processes.

    Raises:
        ValueError: If one brings the weights back on the first process alone.
    """
    if isinstance(given, keras.callbacks.CallbackList):
        raise ValueError(
            "`callbacks` of several processes must be a list. Received: a CallbackList. Give the "
            "callbacks that are in it."
        )
    listed = list(given) if isinstance(given, list | tuple) else [given] if given else []
    if any(isinstance(each, keras.callbacks.BackupAndRestore) for each in listed):
        raise ValueError(
            "Several processes must be resumed by `kerastl run --resume`. Received: "
            "BackupAndRestore. Leave it out."
        )
    return listed if group.is_first else [c for c in listed if not isinstance(c, _WRITERS)]
