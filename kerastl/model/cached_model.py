"""`fit` of a model in blocks, with the frozen ones at the input side computed once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kerastl.blocks.running import layers_after, run_layers
from kerastl.internals.compiled_steps import CompiledPerShape
from kerastl.internals.keras_model import TakesLayerOutputs, check_compiled
from kerastl.model import fit_arguments
from kerastl.model.labels import check_batch_labels
from kerastl.optimizers import rates
from kerastl.prefix import caching
from kerastl.prefix.decision import CacheLimits, CacheWishes
from kerastl.prefix.sources import single


class CachedModel(TakesLayerOutputs, CompiledPerShape):
    """A Keras model of one input, in blocks, whose `fit` computes its frozen prefix apart.

    Attributes:
        cache_report: What the last `fit` kept of the frozen prefix, or why nothing, in one line.
    """

    num_classes: int
    task: str
    cache_report: str
    _allowed_labels: Any = None
    _prefix_cache: caching.PrefixCache
    _running_fit: caching.CachedFit | None

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: Any = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
        *,
        cache: str | bool = "auto",
        cache_views: int = 1,
        cache_limits: CacheLimits | None = None,
    ) -> Any:
        """As `keras.Model.fit`, with the frozen blocks at the input side computed once.

        What the unbroken run of frozen blocks at the input side gives for an
        image is kept for later epochs, where the image is known to be the same
        in each: arrays, and `load_data` without random augmentation. A model
        whose `train_step`, `call` or `compute_loss` is your own gets the images.
        `cache_report` says what was done, and why.

        The rate of every block is logged as `learning_rate/<block>`. A loss
        that is not finite stops the training and brings the weights of the
        last finished epoch back, unless a callback of yours, such as
        `TerminateOnNaN`, has stopped it already. `class_weight` works with a
        torch `DataLoader` too.

        Args:
            x: As in Keras, as are all others up to `validation_freq`.
            cache: "auto", "memory", "disk" or False. "memory" and "disk" take
                any `DataLoader` of numbered images at its word.
            cache_views: Where images change at random: views of each that are
                kept and taken in turns, one per epoch.
            cache_limits: The most that the cache may take.

        Raises:
            ValueError: If a block that trains has no rate, or labels are out
                of range.
            TrainingDivergedError: If the loss is not finite.
        """
        given = {
            "batch_size": batch_size,
            "epochs": epochs,
            "verbose": verbose,
            "validation_split": validation_split,
            "validation_data": validation_data,
            "shuffle": shuffle,
            "class_weight": class_weight,
            "sample_weight": sample_weight,
            "initial_epoch": initial_epoch,
            "steps_per_epoch": steps_per_epoch,
            "validation_steps": validation_steps,
            "validation_batch_size": validation_batch_size,
            "validation_freq": validation_freq,
        }
        check_compiled(self, "fit")
        rates.check_rates(self)
        wishes = CacheWishes.checked(cache, cache_views, cache_limits)
        x, options = fit_arguments.checked_arguments(self, x, y, given)
        fit = caching.cached_fit(self, x, y, options, wishes, self._prefix_cache)
        self.cache_report = fit.report
        own = fit_arguments.own_callbacks(x, before=fit.before, after=fit.after)
        self._running_fit = fit
        try:
            with fit_arguments.with_callbacks(self, callbacks, *own) as listed:
                return super().fit(fit.x, fit.y, callbacks=listed, **fit.options)
        finally:
            self._running_fit = None
            self._prefix_cache.close(fit.prefix)

    def clear_cache(self) -> None:
        """Drop what earlier calls of `fit` have kept of the frozen blocks' output."""
        self._prefix_cache.clear()

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """As in Keras; a dict of a layer's name to its output goes on from there."""
        images = single(inputs)
        if isinstance(images, Mapping):
            ((name, values),) = images.items()
        elif prefix := fit_arguments.prefix_apart(images, self._running_fit, self.jit_compile):
            name = prefix.boundary.layer
            outputs = prefix.function(images)
            values = outputs[0] if len(outputs) == 1 else outputs
        else:
            return super().call(images, training=training, mask=mask)
        return run_layers(self, layers_after(self, name), values, training=training)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """As in Keras, after a look at the labels, where that costs no transfer."""
        check_batch_labels(y, self._allowed_labels, self.num_classes)
        return super().compute_loss(
            x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training
        )
