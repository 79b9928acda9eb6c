"""`ImageClassifier`: a backbone in blocks, a head, and a rate for each block."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from kerastl.backbones.base import Preprocessing, Resizing
from kerastl.backbones.registry import build_any
from kerastl.blocks import batch_norm as norms
from kerastl.blocks.block import HEAD, IMAGES, Block, select
from kerastl.blocks.running import no_gradients, run_layers
from kerastl.data.named_labels import by_the_models_names
from kerastl.data.resizing import check_resize
from kerastl.data.tasks import CLASSIFICATION, task_of
from kerastl.model import compile_config, description
from kerastl.model import fit_arguments as fitting
from kerastl.model.assembly import (
    as_layer,
    check_head,
    checked_class_names,
    connect,
    pooling_layer,
)
from kerastl.model.cached_model import CachedModel
from kerastl.model.head import ClassificationHead
from kerastl.model.labels import label_range, takes_shares
from kerastl.model.preprocessing import ImagePreprocessing
from kerastl.optimizers import rates
from kerastl.prefix import caching


@keras.saving.register_keras_serializable(package="kerastl")
class ImageClassifier(CachedModel):
    """A pretrained backbone with a new classification head.

    Takes raw pixels 0-255 in RGB order, `(batch, height, width, 3)`, uint8 or
    float; preprocessing is part of the model. Gives **probabilities**,
    `(batch, num_classes)`: softmax, or for `num_classes=1` the sigmoid of one
    logit. `predict`, the default loss and the saved file agree on that.

    The backbone is everything before the network's last classifying layer.

    Args:
        backbone: A spec such as "torchvision:resnet18" (`kerastl backbones`
            lists all), a `torch.nn.Module`, which is copied and never changed,
            or a built `Backbone`, which brings its own weights and image size
            and serves one classifier.
        num_classes: Number of classes; 1 for a single probability.
        weights: "default", the name of published weights, a local file, or
            None for random weights.
        image_size: Height and width, pixels. None: the weights' own
            evaluation size.
        pooling: "avg" or "max" over height and width. A backbone that pools
            by itself (VGG, ViT, ConvNeXt) takes "avg" only, and gets none.
        dropout: Rate in front of each Dense layer of the head.
        hidden_units: Units of hidden layers of the head.
        temperature: What the logits are divided by; `kerastl.calibrate` sets it.
        blocks: For an `nn.Module`: block name -> path of its first module.
        preprocessing: From pixels to the backbone's input. None: the weights' own.
        resizing: The weights' evaluation resize, kept for whoever reads image
            files. None: the weights' own.
        resize: "crop", "squash" or "pad": how files are brought to size.
        white: Value of 16-bit grey that is white in image files, kept for whoever
            reads them; None: that of the data which `fit` is first given.
        class_names: Names of the classes, kept in the saved file.
        task: "classification": one class per image, softmax; "multi-label":
            any number of classes, a sigmoid each; "regression": `num_classes`
            numbers, as they come out of the last layer.
        batch_norm: What batch norms of blocks that train do with their moving
            statistics; see the property. For few images "frozen" is usual
            (https://keras.io/guides/transfer_learning/).
        name: Name of the model.

    Raises:
        UnknownNameError: If the backbone or its weights are unknown.
        WeightsError: If the weights cannot be had or do not fit.
        ValueError: If an argument is out of range or the backbone cannot take
            the image size.

    Example:

        model = kerastl.ImageClassifier("torchvision:resnet18", num_classes=5)
        model.freeze(through="layer2")
        model.compile(learning_rate={"layer3": 1e-4, "layer4": 1e-4, "head": 1e-3})
        model.fit(images, labels, epochs=5)
    """

    def __init__(
        self,
        backbone: Any,
        num_classes: int,
        *,
        weights: str | None = "default",
        image_size: int | None = None,
        pooling: str | None = "avg",
        dropout: float = 0.0,
        hidden_units: Sequence[int] = (),
        temperature: float = 1.0,
        blocks: Mapping[str, str | Sequence[str]] | None = None,
        preprocessing: Preprocessing | None = None,
        resizing: Resizing | None = None,
        resize: str = "crop",
        white: int | None = None,
        class_names: Sequence[str] | None = None,
        task: str = CLASSIFICATION,
        batch_norm: str | Mapping[str, str] = norms.TRAIN,
        name: str = "image_classifier",
    ) -> None:
        check_head(num_classes, dropout, hidden_units)
        activation = None if task == CLASSIFICATION else task_of(task).activation
        built = build_any(backbone, weights=weights, image_size=image_size, blocks=blocks)
        preprocessing = preprocessing or built.preprocessing
        # === Layers ===
        scaler = ImagePreprocessing(preprocessing, name="preprocessing")
        block_layers = [as_layer(part) for part in built.parts]
        head = ClassificationHead(
            num_classes,
            hidden_units=hidden_units,
            dropout=dropout,
            activation=activation,
            temperature=temperature,
            name=HEAD,
        )
        # === Functional graph ===
        shape = (built.image_size, built.image_size, 3)
        inputs = keras.Input(shape, name=IMAGES, dtype=scaler.compute_dtype)
        features = connect(scaler(inputs), block_layers, built)
        pool = pooling_layer(features, pooling, built.spec)
        pooled = pool(features) if pool else features
        super().__init__(inputs=inputs, outputs=head(pooled), name=name)
        # === Config ===
        self.backbone_spec = built.spec
        self.num_classes = num_classes
        self.task = task
        self.image_size = built.image_size
        self.resizing = resizing or built.resizing
        self.resize = resize
        self.white = white
        self.class_names = class_names
        self.preprocessing = preprocessing
        self.pooling = pooling
        self.can_reload = built.can_reload
        self._block_names = (*(layer.name for layer in block_layers), HEAD)
        self._prefix_cache = caching.PrefixCache()
        self._running_fit: caching.CachedFit | None = None
        self.cache_report = "not used: nothing was trained"
        self._variables_of = rates.BlockVariables(
            {layer.name: tuple(layer.trainable_variables) for layer in (*block_layers, head)}
        )
        self.batch_norm = batch_norm
        if built.frozen:
            self.freeze(*built.frozen)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "class_names" and value is not None:
            value = checked_class_names(value, self.num_classes)
        if name == "resize":
            check_resize(value)
        super().__setattr__(name, value)

    @property
    def block_names(self) -> tuple[str, ...]:
        """Names of all blocks, input side first, the head last."""
        return tuple(self._block_names)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Every block as it stands now, input side first, the head last."""
        found = []
        for name, variables in self.variables_by_block.items():
            layer = self.get_layer(name)
            size = sum(math.prod(variable.shape) for variable in variables)
            found.append(Block(name, (layer,), size, layer.trainable))
        return tuple(found)

    @property
    def variables_by_block(self) -> dict[str, tuple[keras.Variable, ...]]:
        """Every variable that trains when its block does, frozen or not."""
        layers = {name: self.get_layer(name) for name in self.block_names}
        self._variables_of = self._variables_of.updated(layers)
        return dict(self._variables_of.by_block)

    @property
    def trainable_blocks(self) -> tuple[str, ...]:
        """Names of the blocks that are not frozen."""
        return tuple(block.name for block in self.blocks if block.trainable)

    @property
    def batch_norm(self) -> dict[str, str]:
        """What the batch norms of each block that has any do when the model trains.

        "train": normalize by the batch and renew their moving statistics. It
        suits batches that are like what the model will see, of many images.
        "frozen": normalize by the moving statistics and keep them, while their
        scales and shifts train: Keras's transfer-learning guide has it so for
        fine-tuning, https://keras.io/guides/transfer_learning/, and it is the
        usual way with few images or small batches. Dropout and stochastic
        depth stay on in both.

        Set it to a mode for all blocks, or a dict of block name to mode for
        some; it takes effect as `freeze` does. A frozen block always has frozen
        statistics: the mode given to it counts once it trains.

        Raises:
            UnknownNameError: If there is no such mode or block.
        """
        modes = {name: norms.mode_of(self.get_layer(name)) for name in self.block_names}
        return {name: mode for name, mode in modes.items() if mode is not None}

    @batch_norm.setter
    def batch_norm(self, value: str | Mapping[str, str]) -> None:
        modes = norms.modes_by_block(value, self.block_names)
        self._before_blocks_change()
        norms.set_modes(self, modes)

    def freeze(self, *names: str, through: str | None = None) -> None:
        """Freeze blocks: their variables do not train and they run in inference mode.

        Takes effect at once, after `compile` too, and within `fit` on torch from
        the next batch on; what the optimizer knows of the blocks is kept.

        Args:
            *names: Blocks to freeze. Without any: all but the head.
            through: Instead of names, the input side up to and including
                this block.

        Raises:
            UnknownNameError: If there is no such block.
        """
        chosen = self.block_names[:-1]
        if names or through is not None:
            chosen = select(self.block_names, names, through=through)
        self._set_trainable(chosen, value=False)

    def unfreeze(self, *names: str, learning_rate: Any = None) -> None:
        """Let blocks train again.

        Args:
            *names: Blocks to unfreeze. Without any: all.
            learning_rate: A compiled model's rate for these blocks: a float, a
                Keras schedule that starts now, or a dict of block name to
                either. None: the rate that `compile` gave them, where it was
                one rate for all blocks.

        Raises:
            UnknownNameError: If there is no such block.
        """
        chosen = select(self.block_names, names) if names else self.block_names
        self._set_trainable(chosen, value=True)
        if learning_rate is not None:
            rates.set_rates(self, learning_rate, chosen)

    def _before_blocks_change(self) -> None:
        if self._running_fit is not None:
            fitting.check_can_freeze_within_fit(self.jit_compile)
        else:
            self.train_function = None  # a compiled step has the blocks as they were in it

    def _set_trainable(self, names: Sequence[str], *, value: bool) -> None:
        self._before_blocks_change()
        if self._running_fit is not None and self._running_fit.prefix is not None:
            self._running_fit.prefix.stop()
        for name in names:
            self.get_layer(name).trainable = value

    def features(self, images: Any) -> Any:
        """The pooled features that enter the head, in inference mode.

        Args:
            images: Pixels 0-255, `(batch, height, width, 3)`.

        Returns:
            The backend's tensor, `(batch, features)`, without gradients.
        """
        layers = [layer for layer in self.layers[1:] if layer.name != HEAD]
        with no_gradients():
            return run_layers(self, layers, keras.ops.convert_to_tensor(images), training=False)

    def compile(
        self,
        optimizer: Any = "adam",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
        *,
        learning_rate: Any = None,
    ) -> None:
        """Configure training; as `keras.Model.compile`, with a rate per block.

        Args:
            optimizer: As in Keras; the model trains with a copy, of a
                subclass of its class. `model.optimizer` keeps the moments of
                an earlier `compile`; anything else starts anew.
            loss: Default: cross-entropy with class numbers or one-hot labels,
                or with labels 0 and 1 for `num_classes=1` or several labels;
                the mean squared error of a regression.
            loss_weights: As in Keras, as are those from `weighted_metrics` to
                `auto_scale_loss`.
            metrics: As in Keras. Default: accuracy, the area under the curves
                of precision and recall, or the mean absolute error.
            learning_rate: A float or Keras schedule for all blocks, what
                `kerastl.layerwise_decay` returns, or a dict of block name to
                float or schedule with one entry per block that trains. None:
                the optimizer's own.

        Raises:
            UnknownNameError: If a rate is for a block that does not exist.
            ValueError: If a rate is for a frozen block, or one is missing.
        """
        self._jit_compile = jit_compile
        loss = fitting.resolve_loss(loss, self.task, self.num_classes)
        self._allowed_labels = label_range(loss, self.num_classes)
        self._takes_shares = takes_shares(loss)
        super().compile(
            optimizer=rates.optimizer_by_block(self, optimizer, learning_rate),
            loss=loss,
            loss_weights=loss_weights,
            metrics=fitting.resolve_metrics(metrics, self.task, self.num_classes),
            weighted_metrics=weighted_metrics,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
            auto_scale_loss=auto_scale_loss,
        )
        rates.follow_blocks(self.optimizer)

    def make_train_function(self, force: bool = False) -> None:
        """As in Keras; anew where other blocks train than at the last call."""
        super().make_train_function(force=rates.ready_to_train(self) or force)

    def get_compile_config(self) -> dict[str, Any]:
        """What a file says of `compile`; a `jit_compile` of "auto" is each backend's own."""
        config: dict[str, Any] = super().get_compile_config()
        if not config:
            return config
        # Beside the class and the configuration of the optimizer, where plain Keras, which
        # `keras.models.clone_model` makes of a classifier, does not look.
        optimizer = {**config["optimizer"], "learning_rates": rates.rates_config(self)}
        return {**config, "optimizer": optimizer, "jit_compile": self._jit_compile}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as a saved file says; part of `load_model`."""
        optimizer = config.get("optimizer")
        learning_rates = optimizer.get("learning_rates") if isinstance(optimizer, dict) else None
        trusted = description.given_to_load.get().may_import
        self.compile(**compile_config.obeyed(config, trusted=trusted))
        if learning_rates is not None:
            rates.restore_rates(self, learning_rates)

    def learning_rates(self) -> dict[str, float]:
        """The current rate of every block; 0 where it is frozen."""
        return rates.current_rates(self)

    def find_learning_rate(self, x: Any, y: Any = None, **options: Any) -> Any:
        """The learning-rate range test: see `kerastl.optimizers.rate_finder.find_learning_rate`."""
        from kerastl.optimizers.rate_finder import find_learning_rate

        return find_learning_rate(self, by_the_models_names(x, self, "x"), y, **options)

    def plan(self, total_steps: int) -> str:
        """What training would do, per block, as a table.

        Args:
            total_steps: Optimizer steps of the run, for the rates over time.
        """
        from kerastl.model.plan import block_plan, plan_table

        return plan_table(block_plan(self, total_steps))

    def get_config(self) -> dict[str, Any]:
        """What a file says of the classifier, its weights aside."""
        return description.config_of(self)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> ImageClassifier:
        """The classifier that a file describes, with random weights.

        A backbone that only a torch module can give has that module's weights.
        """
        config = dict(config)
        dense, policy = config.pop("dense", {}), config.pop("dtype_policy", None)
        arguments, frozen = description.arguments_from(config)
        with description.under_policy(policy):
            model = cls(**arguments)
        model.get_layer(HEAD).adapt_dense(dense)
        # A module that is given may be frozen elsewhere.
        if others := {block.name for block in model.blocks if not block.trainable} - {*frozen}:
            model.unfreeze(*others)
        if frozen:
            model.freeze(*frozen)
        return model
