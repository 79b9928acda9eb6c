"""Prepare a run: data, model, strategy, rates."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastl.backbones import registry
from kerastl.backbones.base import Resizing
from kerastl.blocks.block import HEAD
from kerastl.data import load_data, suggested_image_size
from kerastl.data.augmentation import Augmentation
from kerastl.data.tasks import CLASSIFICATION
from kerastl.data.understanding import described, quietly
from kerastl.internals.keras_seed import forget_seed_generator
from kerastl.internals.printable import printable
from kerastl.model.batch_sizes import BatchSize
from kerastl.model.classifier import ImageClassifier
from kerastl.model.losses import Accuracy, loss_of
from kerastl.optimizers import schedules
from kerastl.optimizers.rates import set_rates
from kerastl.prefix import caching
from kerastl.prefix.decision import CacheWishes
from kerastl.runs import backends, strategies
from kerastl.runs import config as configs
from kerastl.runs.config import RunConfig
from kerastl.runs.phases import Phase, as_options, phases_of
from kerastl.runs.solver import (
    BATCH_SIZE,
    Solver,
    batch_size_of,
    is_left_to_evidence,
    solver_of,
    with_lengths,
)
from kerastl.runs.training.fitting_batches import fitting_in_phases
from kerastl.runs.training.tensorboard import check_tensorboard

Echo = Callable[[str], None]
_SGD_MOMENTUM = 0.9


@dataclass(frozen=True)
class PreparedRun:
    """Everything that is settled before the first step.

    Attributes:
        config: The options as resolved: no "auto" is left in them.
        data: The images.
        model: The classifier, compiled for the first phase.
        phases: What trains, at what rates, for how long.
        solver: What is done with the head, and why.
        is_open: Whether the strategy is still to be settled, by what the
            solved head shows.
        as_asked: The options that `config.toml` has, where these are others.
        held_out: Numbers of the images of the fold that is the test, or None.
        fits: What fits into memory, where the batch size was to be found.
    """

    config: RunConfig
    data: Any
    model: ImageClassifier
    phases: tuple[Phase, ...]
    solver: Solver
    is_open: bool = False
    as_asked: RunConfig | None = None
    held_out: np.ndarray | None = None
    fits: BatchSize | None = None

    @property
    def is_only_solved(self) -> bool:
        """Whether nothing trains but the head, which is solved."""
        return not self.is_open and not any(phase.epochs for phase in self.phases)

    @property
    def total_steps(self) -> int:
        """Batches of the whole run, where no phase ends early."""
        return sum(phase.epochs for phase in self.phases) * len(self.data.train)


def prepare(
    config: RunConfig, *, echo: Echo, only_plan: bool = False, data: Any = None
) -> PreparedRun:
    """Settle everything up to the first step: data, model, strategy, rates.

    Args:
        config: The options.
        echo: Takes lines of progress.
        only_plan: Whether weights that are not on this machine are left out
            instead of downloaded.
        data: The images, where they are loaded already.
    """
    backends.check_available(config.backend)
    if config.tensorboard:
        check_tensorboard()
    _check_is_text(config.data)
    _seed(config.seed)
    echo(f"Backbone {config.backbone}")
    weights = _weights_for_plan(config) if only_plan else config.weights
    size = config.image_size or suggested_image_size(config.data)
    # Before the data: the weights' own evaluation says how to resize them.
    with _precision(config.precision):
        backbone = registry.build(config.backbone, weights=weights, image_size=size)
    if backbone.frozen:
        echo(f"The module's own frozen parameters, of {', '.join(backbone.frozen)}, go by the run")
    echo(f"Data {config.data}")
    if data is None:
        data = _load(config, backbone.image_size, backbone.resizing)
        for what, line in () if only_plan else described(data):  # The plan has them itself.
            echo(f"{what.capitalize()} {line}")
    with _precision(config.precision):
        model = ImageClassifier(
            backbone,
            num_classes=data.num_classes,
            pooling=config.pooling,
            dropout=config.dropout,
            hidden_units=config.hidden_units,
            resize=config.resize,
            white=data.settings.white,
            class_names=data.class_names,
            task=config.task,
        )
    solver = solver_of(
        config,
        images=data.sizes["train"],
        outputs=data.num_classes,
        features=int(model.get_layer(HEAD).input.shape[-1]),
    )
    size = batch_size_of(config, solver, images=data.sizes["train"])
    data = data.with_batch_size(size)
    is_auto = config.batch_size == configs.AUTO
    config = replace(config, batch_size=size)
    config = with_lengths(config, solver, steps_per_epoch=len(data.train))
    fits = _fitting(config, data, model, solver) if is_auto else None
    if fits is not None:
        echo(fits.line)
        data = data.with_batch_size(fits.size)
        steps = config.accumulate * fits.accumulate
        config = replace(config, batch_size=fits.size, accumulate=steps)
    prepared = replace(_with_phases(config, data, model, solver), fits=fits)
    # A solved head is judged, and calibrated, out of fold.
    judged = data.validation is not None or config.folds or prepared.is_only_solved
    if config.calibrate and not judged:
        raise ValueError(
            "`calibrate` must have validation images, where more than the head is trained. "
            "Received: validation_split=0 and data without a validation part. Raise the split, "
            "or leave it out."
        )
    return prepared


def decided(prepared: PreparedRun, strategy: str, reason: str) -> PreparedRun:
    """The run with a strategy in the place of one that was left to the evidence.

    Args:
        prepared: The run; its head is solved.
        strategy: Name of a strategy of one phase.
        reason: Why, in one sentence.
    """
    trains = strategy != strategies.FEATURE_EXTRACTION
    config = replace(prepared.config, strategy=strategy, keep_start=trains)
    made = _with_phases(config, prepared.data, prepared.model, prepared.solver)
    (phase,) = made.phases
    settled = replace(phase, strategy=replace(phase.strategy, reason=reason))
    return replace(made, phases=(settled,))


def _with_phases(
    config: RunConfig, data: Any, model: ImageClassifier, solver: Solver
) -> PreparedRun:
    """The run with its phases, the model compiled for the first."""
    is_open = is_left_to_evidence(config, has_validation=data.validation is not None)
    of_phases = replace(config, strategy=strategies.FEATURE_EXTRACTION) if is_open else config
    phases = phases_of(
        of_phases, model.block_names, images=data.sizes["train"], num_classes=data.num_classes
    )
    if is_open:
        settled = replace(config, image_size=model.image_size)
        (phase,) = phases
        reason = "auto: settled once the head is solved, by what it shows."
        phases = (replace(phase, strategy=replace(phase.strategy, reason=reason)),)
    else:
        settled = _resolved(config, model, phases)
    prepared = PreparedRun(settled, data, model, phases, solver, is_open)
    _set_blocks(model, phases[0])
    model.compile(
        optimizer=_optimizer(config),
        learning_rate=_rates(prepared, phases[0]),
        loss=loss_of(config.task, label_smoothing=config.label_smoothing, focal=config.focal),
        metrics=[Accuracy()] if config.task == CLASSIFICATION else None,
    )
    return prepared


def _fitting(config: RunConfig, data: Any, model: ImageClassifier, solver: Solver) -> BatchSize:
    """The largest batch that fits: with every block trained where that is still open."""
    if is_left_to_evidence(config, has_validation=data.validation is not None):
        config = replace(config, strategy="full")
    phases = _with_phases(config, data, model, solver).phases
    return fitting_in_phases(model, data, phases, begin=lambda phase: _set_blocks(model, phase))


def begin_phase(prepared: PreparedRun, number: int) -> None:
    """Freeze what a phase freezes and start its schedules; every block keeps its moments.

    Args:
        prepared: The run.
        number: Which phase, from 0.
    """
    phase = prepared.phases[number]
    _set_blocks(prepared.model, phase)
    rates = _rates(prepared, phase)
    set_rates(prepared.model, rates, tuple(phase.strategy.rates))


def phase_lines(phase: Phase) -> list[str]:
    """What a phase does, one line each: why, what is frozen, what trains."""
    lines = [
        f"Strategy {phase.strategy.reason}",
        f"Frozen {', '.join(phase.strategy.frozen) or 'nothing'}",
    ]
    return [*lines, f"Trained {', '.join(phase.strategy.rates)}"] if phase.epochs else lines


def planned_cache(prepared: PreparedRun, number: int = 0) -> str:
    """What a phase would keep of the frozen blocks' output, or why not; it has begun."""
    return caching.planned_report(
        prepared.model,
        prepared.data.train,
        prepared.data.validation,
        CacheWishes.checked(prepared.config.cache, prepared.config.cache_views),
        epochs=prepared.phases[number].epochs,
    )


def load_images(config: RunConfig, model: Any, *, split: Path | None = None) -> Any:
    """The images that the options name, as the model wants them, and nothing changed at random.

    Args:
        config: The options.
        model: The classifier.
        split: The `split.csv` of the run that it is from, whose parts are taken; None: drawn.
    """
    as_they_are = replace(
        config,
        task=model.task,
        augment="none",
        mixup=None,
        cutmix=None,
        sampling="natural",
    )
    return _load(
        as_they_are,
        model.image_size,
        model.resizing,
        resize=model.resize,
        split=split,
        white=model.white,
    )


def _seed(seed: int) -> None:
    """Seed Python, NumPy, the backend, and torch, which makes random weights on every backend."""
    import torch

    torch.manual_seed(seed)
    if keras.backend.backend() != "torch":
        keras.utils.set_random_seed(seed)
        return
    forget_seed_generator()
    random.seed(seed)
    np.random.seed(seed)


def _check_is_text(spec: str) -> None:
    """Refuse a spec that `config.toml` cannot hold; names below it may be of any bytes."""
    if printable(spec) != spec:
        raise ValueError(
            "`data` must be text in UTF-8, for the run's config.toml. Received: "
            f"{printable(spec)}. "
            "Rename the folder or file; those below it may stay."
        )


def _weights_for_plan(config: RunConfig) -> str:
    """The same weights if they are at hand: a plan downloads nothing and needs none."""
    is_published = config.weights.lower() == "default"
    if is_published and not registry.describe(config.backbone).weights_on_disk:
        return "none"
    return config.weights


@quietly()
def _load(
    config: RunConfig,
    image_size: int,
    resizing: Resizing,
    *,
    resize: str | None = None,
    split: Path | None = None,
    white: int | None = None,
) -> Any:
    return load_data(
        config.data,
        image_size=image_size,
        batch_size=config.batch_size if isinstance(config.batch_size, int) else BATCH_SIZE,
        validation_split=config.validation_split,
        test_split=config.test_split,
        seed=config.seed,
        resize=resize or config.resize,  # type: ignore[arg-type]
        resizing=resizing,
        background=configs.color(config.background),
        skip_broken=config.skip_broken,
        num_workers=config.workers,
        progress=True,
        task=config.task,
        augment=Augmentation(config.augment, config.flip, config.mixup, config.cutmix),
        sampling=config.sampling,
        split=split or config.split,
        white=white,
        group_by=config.group_by,
    )


@contextmanager
def _precision(policy: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _set_blocks(model: ImageClassifier, phase: Phase) -> None:
    model.batch_norm = phase.batch_norm
    model.unfreeze()
    if phase.strategy.frozen:
        model.freeze(*phase.strategy.frozen)


def _rates(prepared: PreparedRun, phase: Phase) -> dict[str, Any]:
    steps = max(phase.epochs, 1) * len(prepared.data.train)
    return {
        block: schedules.make(phase.schedule, rate, steps)
        for block, rate in phase.strategy.rates.items()
    }


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


def _resolved(config: RunConfig, model: ImageClassifier, phases: Sequence[Phase]) -> RunConfig:
    """The options that repeat this run, whatever a later version takes for its defaults."""
    config = replace(config, image_size=model.image_size)
    if config.phase or config.strategy == strategies.GRADUAL:
        return replace(
            config, phase=as_options(phases), epochs=sum(phase.epochs for phase in phases)
        )
    (phase,) = phases
    strategy = phase.strategy
    return replace(
        config,
        strategy=strategy.name,
        freeze_through=strategy.freeze_through if strategy.name == "partial" else None,
        learning_rate=strategy.head_rate,
        epochs=phase.epochs or None,
    )
