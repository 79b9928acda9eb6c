"""One run, from its options to its folder: data, model, strategy, `fit`, test, results."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastl import callbacks, evaluation, results, schedules, strategies
from kerastl import config as configs
from kerastl.backbones import registry
from kerastl.backbones.base import Resizing
from kerastl.classifier import ImageClassifier
from kerastl.config import RunConfig
from kerastl.data import load_data, suggested_image_size
from kerastl.errors import TrainingDivergedError
from kerastl.interrupts import noticing_ctrl_c
from kerastl.prefix import caching
from kerastl.prefix.decision import CacheWishes
from kerastl.results import RUN_FILES, RunResults
from kerastl.strategies import Strategy, Wishes

Echo = Callable[[str], None]
_SGD_MOMENTUM = 0.9
# A weight and Adam's two moments, float32.
_BYTES_PER_PARAMETER = 12
# While an epoch is being saved, the file of the one before it is still there.
_COPIES = 2


@dataclass(frozen=True)
class PreparedRun:
    """Everything that is settled before the first step.

    Attributes:
        config: The options as resolved: no "auto" is left in them.
        data: The images.
        model: The compiled classifier.
        strategy: What trains, at what rates, and why.
        total_steps: Batches of the whole run.
    """

    config: RunConfig
    data: Any
    model: ImageClassifier
    strategy: Strategy
    total_steps: int


def run(config: RunConfig, *, echo: Echo, overwrite: bool = False) -> RunResults:
    """Train as the options say and keep the run in its folder.

    Seeds Python's, NumPy's and the backend's random numbers with `config.seed`.

    Args:
        config: The options.
        echo: Takes lines of progress.
        overwrite: Whether a run that the folder holds may be replaced, once
            the first epoch of this one is finished.

    Returns:
        What was measured. `completed` is False after Ctrl-C: the last
        finished epoch is kept.

    Raises:
        ValueError: If an option cannot be used, or the folder holds another run.
        OSError: If the folder cannot be written, or the disk is full.
        TrainingDivergedError: If the loss is not finite; the last finished
            epoch is kept.
    """
    folder = Path(config.output).expanduser()
    check_output(folder, overwrite=overwrite)
    with noticing_ctrl_c() as ctrl_c:
        return _run(config, folder, echo, ctrl_c)


def _run(config: RunConfig, folder: Path, echo: Echo, ctrl_c: Callable[[], bool]) -> RunResults:
    started = time.perf_counter()
    try:
        prepared = prepare(config, echo=echo)
    except KeyboardInterrupt:
        echo("")
        return RunResults(completed=False)
    folder.mkdir(parents=True, exist_ok=True)
    _check_space(folder, prepared.model)
    seconds = {"prepare": time.perf_counter() - started}
    keep = callbacks.KeepEpochs(folder, configs.to_toml(prepared.config))
    test: Mapping[str, float] = {}
    diverged, completed = None, False
    try:
        with _timed(seconds, "fit"):
            tell = callbacks.TellCache(echo)
            _fit(prepared, [tell, keep, callbacks.StopOnCtrlC(ctrl_c), callbacks.Progress(echo)])
            if config.ema is not None:
                # Keras puts the moving averages into the weights when `fit` ends.
                keep.save_model()
        with _timed(seconds, "test"):
            test = _test(prepared)
        completed = True
    except TrainingDivergedError as error:
        diverged = error
    except BaseException as error:
        if not (ctrl_c() or isinstance(error, KeyboardInterrupt)):
            _remove_if_empty(folder)
            raise
        echo("")
    measured = _results(prepared, keep.epochs, test=test, seconds=seconds, completed=completed)
    if keep.epochs:
        results.save_metrics(folder, measured)
    else:
        _remove_if_empty(folder)
    if diverged is not None:
        raise TrainingDivergedError(f"{diverged} {_kept(config, measured)}") from diverged
    return measured


def prepare(config: RunConfig, *, echo: Echo, only_plan: bool = False) -> PreparedRun:
    """Settle everything up to the first step: data, model, strategy, rates.

    Args:
        config: The options.
        echo: Takes lines of progress.
        only_plan: Whether weights that are not on this machine are left out
            instead of downloaded.
    """
    _check_backend(config)
    _seed(config.seed)
    echo(f"Backbone {config.backbone}")
    weights = _weights_for_plan(config) if only_plan else config.weights
    size = config.image_size or suggested_image_size(config.data)
    # Before the data: the weights' own evaluation says how to resize them.
    with _precision(config.precision):
        backbone = registry.build(config.backbone, weights=weights, image_size=size)
    echo(f"Data {config.data}")
    data = _load(config, backbone.image_size, backbone.resizing)
    with _precision(config.precision):
        model = ImageClassifier(
            backbone,
            num_classes=data.num_classes,
            pooling=config.pooling,
            dropout=config.dropout,
            hidden_units=config.hidden_units,
            resize=config.resize,
            class_names=data.class_names,
        )
    strategy = strategies.choose(
        _wishes(config),
        model.block_names,
        images=data.sizes["train"],
        num_classes=data.num_classes,
    )
    echo(f"Strategy {strategy.reason}")
    echo(f"Frozen {', '.join(strategy.frozen) or 'nothing'}")
    echo(f"Trained {', '.join(strategy.rates)}")
    total_steps = config.epochs * len(data.train)
    _compile(model, strategy, config, total_steps)
    return PreparedRun(_resolved(config, model, strategy), data, model, strategy, total_steps)


def planned_cache(prepared: PreparedRun) -> str:
    """What the run would keep of the frozen blocks' output, or why not."""
    return caching.planned(
        prepared.model,
        prepared.data.train,
        prepared.data.validation,
        CacheWishes.checked(prepared.config.cache),
        epochs=prepared.config.epochs,
    )


def load_images(config: RunConfig, model: Any) -> Any:
    """The images that the options name, brought to size as the model wants them."""
    return _load(config, model.image_size, model.resizing, resize=model.resize)


def check_output(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that cannot take a run, before any work is done.

    Raises:
        ValueError: If it holds another run, or is a file.
        OSError: If it cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"`output` must be a folder. Received: {folder}, a file. Name another.")
    held = [name for name in RUN_FILES if (folder / name).exists()]
    if held and not overwrite:
        raise ValueError(
            f"`output` must not hold another run. Received: {folder}, which has "
            f"{', '.join(held)}. Name another folder, or say --overwrite to replace the run."
        )
    existing = next(
        path for path in (folder.absolute(), *folder.absolute().parents) if path.exists()
    )
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise PermissionError(
            f"`output` must be a folder that can be written. Received: {folder}, but {existing} "
            "cannot be written to. Name another."
        )


def stopped_sentence(config: RunConfig, measured: RunResults) -> str:
    """What Ctrl-C left, in one line."""
    return f"Stopped. {_kept(config, measured)}"


def _kept(config: RunConfig, measured: RunResults) -> str:
    if not measured.epochs:
        return "No epoch was finished, and nothing was kept."
    return f"Kept in {config.output}: the model after {measured.epochs} finished epochs."


def _check_backend(config: RunConfig) -> None:
    configs.check_backend(config.backend)
    if keras.backend.backend() != config.backend:
        raise ValueError(
            f"`backend` must be {keras.backend.backend()!r}, which Keras already runs on. "
            f"Received: backend={config.backend!r}. Set KERAS_BACKEND before Keras is imported."
        )


def _seed(seed: int) -> None:
    """Seed Python, NumPy, the backend, and torch, which makes random weights on every backend."""
    import torch

    keras.utils.set_random_seed(seed)
    torch.manual_seed(seed)


def _weights_for_plan(config: RunConfig) -> str:
    """The same weights if they are at hand: a plan downloads nothing and needs none."""
    is_published = config.weights.lower() == "default"
    if is_published and not registry.describe(config.backbone).weights_on_disk:
        return "none"
    return config.weights


def _load(config: RunConfig, image_size: int, resizing: Resizing, resize: str | None = None) -> Any:
    return load_data(
        config.data,
        image_size=image_size,
        batch_size=config.batch_size,
        validation_split=config.validation_split,
        test_split=config.test_split,
        seed=config.seed,
        resize=resize or config.resize,  # type: ignore[arg-type]
        resizing=resizing,
        background=configs.color(config.background),
        skip_broken=config.skip_broken,
        num_workers=config.workers,
        progress=True,
    )


@contextmanager
def _precision(policy: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _wishes(config: RunConfig) -> Wishes:
    return Wishes(
        strategy=config.strategy,
        freeze_through=config.freeze_through,
        learning_rate=config.learning_rate,
        block_rate=config.block_rate,
        layerwise_decay=config.layerwise_decay,
        optimizer=config.optimizer,
    )


def _compile(
    model: ImageClassifier, strategy: Strategy, config: RunConfig, total_steps: int
) -> None:
    if strategy.frozen:
        model.freeze(*strategy.frozen)
    rates = {
        block: schedules.make(config.schedule, rate, total_steps)
        for block, rate in strategy.rates.items()
    }
    model.compile(optimizer=_optimizer(config), learning_rate=rates)


def _optimizer(config: RunConfig) -> Any:
    options: dict[str, Any] = {
        "weight_decay": config.weight_decay,
        "global_clipnorm": config.global_clipnorm,
        "gradient_accumulation_steps": config.accumulate if config.accumulate > 1 else None,
    }
    if config.ema is not None:
        options |= {"use_ema": True, "ema_momentum": config.ema}
    if config.optimizer == "sgd":
        options["momentum"] = _SGD_MOMENTUM
    given = {name: value for name, value in options.items() if value is not None}
    return keras.optimizers.get({"class_name": config.optimizer, "config": given})


def _resolved(config: RunConfig, model: ImageClassifier, strategy: Strategy) -> RunConfig:
    """The options that repeat this run, whatever a later version takes for its defaults."""
    return replace(
        config,
        strategy=strategy.name,
        freeze_through=strategy.freeze_through if strategy.name == "partial" else None,
        learning_rate=strategy.head_rate,
        image_size=model.image_size,
    )


def _check_space(folder: Path, model: ImageClassifier) -> None:
    needed = model.count_params() * _BYTES_PER_PARAMETER * _COPIES
    free = shutil.disk_usage(folder).free
    if free < needed:
        _remove_if_empty(folder)
        raise OSError(
            f"`output` must have {needed / 1e6:,.0f} MB free for the model. Received: {folder} "
            f"with {free / 1e6:,.0f} MB. Free some, or name a folder on another disk."
        )


def _fit(prepared: PreparedRun, watchers: list[keras.callbacks.Callback]) -> None:
    config, data = prepared.config, prepared.data
    prepared.model.fit(
        data.train,
        validation_data=data.validation,
        epochs=config.epochs,
        class_weight=_class_weight(data) if config.class_weight else None,
        callbacks=watchers,
        cache=config.cache,
        verbose=0,
    )


def _class_weight(data: Any) -> dict[int, float]:
    """Weights that make every class count alike: images / (classes x images of the class)."""
    counts = np.bincount(data.labels("train"), minlength=data.num_classes)
    return {
        label: float(counts.sum() / (len(counts) * count)) for label, count in enumerate(counts)
    }


def _test(prepared: PreparedRun) -> dict[str, float]:
    if prepared.data.test is None:
        return {}
    scores = evaluation.evaluate(prepared.model, prepared.data.test, prepared.data.class_names)
    return {"accuracy": scores.accuracy, "loss": scores.loss}


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    started = time.perf_counter()
    try:
        yield
    finally:
        seconds[stage] = time.perf_counter() - started


def _results(
    prepared: PreparedRun,
    epochs: list[dict[str, float]],
    *,
    test: Mapping[str, float],
    seconds: Mapping[str, float],
    completed: bool,
) -> RunResults:
    train, validation = results.split_logs(epochs[-1]) if epochs else ({}, {})
    return RunResults(
        train=train,
        validation=validation,
        test=test,
        seconds={**seconds, "total": sum(seconds.values())},
        images=prepared.data.sizes,
        skipped_images=len(prepared.data.skipped),
        epochs=len(epochs),
        completed=completed,
        strategy=prepared.strategy.reason,
        class_names=prepared.data.class_names,
        cache=prepared.model.cache_report,
    )


def _remove_if_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()
