"""`fit` of a model in blocks, with the frozen ones at the input side computed once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kerastl.blocks.running import layers_after, run_layers
from kerastl.data.named_labels import by_the_models_names, weights_by_the_models_names
from kerastl.internals.compiled_steps import CompiledPerShape
from kerastl.internals.first_batches import SeesFirstBatches
from kerastl.internals.keras_model import TakesLayerOutputs, check_compiled
from kerastl.internals.tensorflow_stays_out import without_importing_tensorflow
from kerastl.model import fit_arguments, head_solving, looking, out_of_memory, together
from kerastl.model.head_solving import SolvedHead
from kerastl.model.labels import check_batch_labels, weighed_labels
from kerastl.model.together import TrainsTogether
from kerastl.model.weights_files import check_weights_file
from kerastl.optimizers import rates
from kerastl.prefix import caching
from kerastl.prefix.decision import CacheLimits, CacheWishes
from kerastl.prefix.rows import feature_rows
from kerastl.prefix.sources import single
from kerastl.processes.group import start
from kerastl.solving.folds import DEFAULT_FOLDS


class CachedModel(TrainsTogether, TakesLayerOutputs, SeesFirstBatches, CompiledPerShape):
    """A Keras model of one input, in blocks, whose `fit` computes its frozen prefix apart.

    Attributes:
        cache_report: What the last `fit` kept of the frozen prefix, or why nothing, in one line.
        checks_pixels: Whether the first images of `fit`, `evaluate` and `predict` are looked at.
        names_of_training: What the classes of the data were called that a model
            without names was trained on, or None; not in a saved file.
    """

    num_classes: int
    task: str
    cache_report: str
    checks_pixels = True
    names_of_training: tuple[str, ...] | None = None
    _class_weight: Mapping[int, float] | None = None
    _takes_shares: bool = False
    _allowed_labels: Any = None
    _prefix_cache: caching.PrefixCache
    _running_fit: caching.CachedFit | None

    def save(
        self, filepath: Any, overwrite: bool = True, zipped: bool | None = None, **kwargs: Any
    ) -> None:
        """As in Keras; TensorFlow that is not in use is not imported."""
        with without_importing_tensorflow():
            super().save(filepath, overwrite=overwrite, zipped=zipped, **kwargs)

    def load_weights(self, filepath: Any, skip_mismatch: bool = False, **kwargs: Any) -> None:
        """As in Keras, once the file is known to be whole and to have its own numbers."""
        check_weights_file(filepath)
        super().load_weights(filepath, skip_mismatch=skip_mismatch, **kwargs)

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
        class_weight: Any = None,
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
        `TerminateOnNaN`, has stopped it already. `class_weight`, by number or
        name, works with a torch `DataLoader` too, goes with weights that are in
        the batches, and weighs shares of classes each by its own. Labels of data
        that name their classes are matched with `class_names`.

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
            OutOfMemoryError: If the memory does not suffice; says what would fit.
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
        with out_of_memory.told(self, x=x, batch_size=batch_size, trains=True):
            return self._fit(x, y, given, callbacks, (cache, cache_views, cache_limits))

    def _fit(
        self, x: Any, y: Any, given: Mapping[str, Any], callbacks: Any, cache: tuple[Any, ...]
    ) -> Any:
        check_compiled(self, "fit")
        rates.check_rates(self)
        wishes = CacheWishes.checked(*cache)
        x, y, options = fit_arguments.checked_arguments(self, x, y, given)
        x, options["validation_data"] = looking.at_training(self, x, options["validation_data"])
        group = start()
        with together.training(self, group, x, y, options, callbacks) as (x, options, callbacks):
            fit = caching.cached_fit(self, x, y, options, wishes, self._prefix_cache)
            return self._fit_on_features(together.with_parts_of_arrays(fit, group), x, callbacks)

    def _fit_on_features(self, fit: caching.CachedFit, x: Any, callbacks: Any) -> Any:
        """`keras.Model.fit` with the frozen prefix taken out, and what goes with it."""
        self.cache_report = fit.report
        own = fit_arguments.own_callbacks(x, before=fit.before, after=fit.after)
        self._running_fit = fit
        try:
            with fit_arguments.with_callbacks(self, callbacks, *own) as listed:
                return super().fit(fit.x, fit.y, callbacks=listed, **fit.options)
        finally:
            self._running_fit = None
            self.weigh_classes(None)
            looking.ends(self)
            self._prefix_cache.close(fit.prefix)

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        **kwargs: Any,
    ) -> Any:
        """As `keras.Model.evaluate`, after a look at classes and first images.

        Labels of data that name their classes are matched with `class_names`:
        the data may lack some, or have them in another order.

        Raises:
            OutOfMemoryError: If the memory does not suffice; says what would fit.
            ValueError: If they have others, or the images cannot be pixels 0-255.
        """
        if not kwargs:  # else `fit` asks, and has looked
            x = by_the_models_names(x, self, "x")
            x = looking.at(self, "test", x)
        given = {
            "batch_size": batch_size,
            "verbose": verbose,
            "sample_weight": sample_weight,
            "steps": steps,
        }
        # Within `fit` the data are cut already.
        group = None if kwargs else start()
        with (
            out_of_memory.told(self, x=x, batch_size=batch_size, trains=False),
            together.evaluating(self, group, x, y, given) as (x, y, given),
        ):
            return super().evaluate(
                x, y, callbacks=callbacks, return_dict=return_dict, **given, **kwargs
            )

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """As `keras.Model.predict`, after a look at the first images.

        Raises:
            OutOfMemoryError: If the memory does not suffice; says what would fit.
            ValueError: If they cannot be pixels 0-255.
        """
        x = looking.at(self, "predict", x)
        with out_of_memory.told(self, x=x, batch_size=batch_size, trains=False):
            return super().predict(
                x, batch_size=batch_size, verbose=verbose, steps=steps, callbacks=callbacks
            )

    def predict_on_batch(self, x: Any) -> Any:
        """As `keras.Model.predict_on_batch`."""
        size = int(x.shape[0]) if hasattr(x, "shape") else None
        with out_of_memory.told(self, batch_size=size, trains=False):
            return super().predict_on_batch(x)

    def check_pixels(self, images: Any, argument: str = "x") -> None:
        """Refuse images that the model cannot take, and warn of those that are unlikely right.

        Args:
            images: A batch, or all images, of which some are looked at.
            argument: What they are called in an error.

        Raises:
            ValueError: If they cannot be pixels 0-255.
        """
        looking.check(self, images, argument)

    def weigh_classes(self, weights: Mapping[int, float] | None) -> None:
        """Have shares of classes weighed, each by its own class, in the losses of a `fit`.

        Args:
            weights: Weight of each class, 1 for the others; None: no more.
        """
        if weights != self._class_weight:
            self.train_function = None  # a compiled step has the weights as they were in it
        self._class_weight = weights

    def solve_head(
        self,
        x: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        class_weight: Any = None,
        penalty: float | Sequence[float] | None = None,
        folds: int = DEFAULT_FOLDS,
        groups: Any = None,
        views: int = 1,
        batch_size: int = 32,
        seed: int = 0,
    ) -> SolvedHead:
        """Give the head the weights that are best on the backbone's features as they are now.

        The features are standardised, and a linear head is fitted to them to
        convergence: logistic regression with an L2 penalty, one for each of
        several labels, or ridge regression. The penalty is the best by the
        loss of images held out, each once. The standardisation becomes part of
        the Dense layer, so that the model stays what it was. Blocks, frozen or
        not, run in inference mode and keep their weights. The model need not
        be compiled; `fit` goes on from the solved head, which is where
        fine-tuning should start (Kumar et al., 2022).

        Args:
            x: Images, a `DataLoader`, or batches `(images, labels, ...)` that
                end, as a `PyDataset`.
            y: Labels of arrays: class numbers, or a row of shares per image.
            sample_weight: Weight of each image of arrays.
            class_weight: Weight of each class, a dictionary or a list; 1 for the others.
            penalty: Fixed instead of chosen: 1 / C in scikit-learn's terms.
            folds: How many folds choose the penalty; fewer where a class is smaller.
            groups: Images of one group are held out together, `(images,)`.
            views: Views of each image, where images change at random.
            batch_size: Images at a time, of arrays.
            seed: Number that fixes the folds.

        Returns:
            The penalty, what was tried, and what each image gets from a head
            that has not seen it.

        Raises:
            ValueError: If the head has hidden layers or is frozen, or labels
                are missing or out of range.
        """
        head_solving.check_can_solve(self)
        class_weight = weights_by_the_models_names(class_weight, self)
        x = by_the_models_names(x, self, "x")
        looking.at_arrays(self, x)
        with out_of_memory.told(self, x=x, batch_size=batch_size, trains=False):
            found = feature_rows(self, x, self._prefix_cache, views=views, batch_size=batch_size)
        rows = head_solving.labelled(
            found, y, sample_weight=sample_weight, class_weight=class_weight
        )
        if groups is not None:
            rows = rows.with_groups(np.asarray(groups))
        return head_solving.solve_rows(self, [rows], penalty=penalty, folds=folds, seed=seed)

    def take_views_again(
        self, taken: Mapping[int, int | None], set_epoch: Callable[[int], None]
    ) -> None:
        """Within `fit`, keep what an earlier process has kept of images that change at random.

        Args:
            taken: Batches that it has taken in each epoch, None for all.
            set_epoch: Has the loader draw the order of an epoch next.
        """
        if self._running_fit is not None:
            self._running_fit.take_again(taken, set_epoch)

    @property
    def prefix_cache(self) -> caching.PrefixCache:
        """What is kept of the frozen blocks' output between two calls."""
        return self._prefix_cache

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
        if training and self._class_weight and self._takes_shares:
            y = weighed_labels(y, self._class_weight, self.num_classes)
        return super().compute_loss(
            x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training
        )
