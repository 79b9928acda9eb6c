"""One fine-tuning from a solved head, on one model that is put back before each."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from typing import Any

import keras
import numpy as np

from benchmarks.accuracy.evidence import Evidence, gather
from benchmarks.accuracy.image_sets import ImageSet, Sample
from benchmarks.accuracy.recipes import Recipe
from benchmarks.accuracy.solved_head import SolvedHead, features_of, put_into, solve
from kerastl import ImageClassifier, load_data, schedules
from kerastl.blocks.block import HEAD
from kerastl.model.losses import loss_of

_VALIDATION_SHARE = 5


class KeepBest(keras.callbacks.Callback):
    """Brings back the weights of the epoch with the least validation loss, the start among them."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        super().__init__()
        self._held_out = (images, labels)

    def on_train_begin(self, logs: Any = None) -> None:
        """The solved head is what has to be beaten."""
        self.best = self.model.evaluate(*self._held_out, verbose=0, return_dict=True)["loss"]
        self.weights, self.epoch = self.model.get_weights(), 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Compare."""
        loss = self.model.evaluate(*self._held_out, verbose=0, return_dict=True)["loss"]
        if loss < self.best:
            self.best, self.weights, self.epoch = loss, self.model.get_weights(), epoch + 1

    def on_train_end(self, logs: Any = None) -> None:
        """Bring them back."""
        self.model.set_weights(self.weights)


class Trials:
    """Measures recipes on one image set.

    Args:
        backbone: A spec.
        weights: Its weights.
        images: Gives the image size and the number of classes.
    """

    def __init__(self, backbone: str, weights: str, images: ImageSet) -> None:
        self._model = ImageClassifier(
            backbone,
            len(images.class_names),
            weights=weights,
            image_size=images.images.shape[1],
        )
        self._pretrained = self._model.get_weights()
        self._solved: dict[Any, SolvedHead] = {}
        self._evidence: dict[Any, Evidence] = {}

    def measure(self, recipe: Recipe, sample: Sample, *, seed: int) -> dict[str, Any]:
        """Accuracy of the solved head and after fine-tuning, and the seconds of the latter."""
        keras.utils.set_random_seed(seed)
        self._model.set_weights(self._pretrained)
        images, labels = sample.images, sample.labels
        whole = self._head(images, labels)
        put_into(self._model, whole)
        solved = self._accuracy(sample)
        result: dict[str, Any] = {
            "solved_accuracy": solved,
            "fold_accuracy": whole.accuracy,
            "fold_log_loss": whole.log_loss,
            "penalty": whole.penalty,
            "classes": len(sample.class_names),
            "evidence": asdict(self._evidence_of(images, labels, whole)),
        }
        if recipe.strategy == "solved":
            return {**result, "accuracy": solved, "seconds": 0.0}
        callbacks = []
        if recipe.keep == "best":
            held_out = np.arange(len(labels)) % _VALIDATION_SHARE == 0
            callbacks.append(KeepBest(images[held_out], labels[held_out]))
            images, labels = images[~held_out], labels[~held_out]
            put_into(self._model, self._head(images, labels))
        started = time.perf_counter()
        start = self._model.get_weights()
        history = self._fine_tune(recipe, images, labels, callbacks, seed)
        if recipe.blend != 1:
            pairs = zip(start, self._model.get_weights(), strict=True)
            self._model.set_weights([a + recipe.blend * (b - a) for a, b in pairs])
        seconds = time.perf_counter() - started
        if callbacks:
            result["kept_epoch"] = callbacks[0].epoch
        result["train_loss"] = float(history.history["loss"][-1])
        return {**result, "accuracy": self._accuracy(sample), "seconds": seconds}

    def _head(self, images: np.ndarray, labels: np.ndarray) -> SolvedHead:
        key = _fingerprint(images, labels)
        if key not in self._solved:
            self._solved[key] = solve(features_of(self._model, images), labels)
        return self._solved[key]

    def _evidence_of(self, images: np.ndarray, labels: np.ndarray, last: SolvedHead) -> Evidence:
        key = _fingerprint(images, labels)
        if key not in self._evidence:
            self._evidence[key] = gather(self._model, images, labels, last)
        return self._evidence[key]

    def _accuracy(self, sample: Sample) -> float:
        predicted = self._model.predict(sample.test_images, batch_size=100, verbose=0)
        return float(np.mean(predicted.argmax(1) == sample.test_labels))

    def _fine_tune(
        self, recipe: Recipe, images: np.ndarray, labels: np.ndarray, callbacks: Any, seed: int
    ) -> Any:
        model = self._model
        per_epoch = math.ceil(len(images) / recipe.batch_size)
        epochs = math.ceil(recipe.steps / per_epoch)
        model.batch_norm = recipe.batch_norm
        model.unfreeze()
        backbone = model.block_names[:-1]
        if recipe.strategy == "partial":
            model.freeze(through=backbone[math.ceil(len(backbone) / 2) - 1])
        if recipe.head_rate == 0:
            model.freeze(HEAD)
        model.compile(
            optimizer=_optimizer(recipe),
            learning_rate=_rates(recipe, model, epochs * per_epoch),
            loss=loss_of("classification", label_smoothing=recipe.label_smoothing),
        )
        data: Any = (images, labels)
        if recipe.augment != "none":
            data = load_data(
                (images, labels),
                image_size=images.shape[1],
                batch_size=recipe.batch_size,
                validation_split=0,
                test_split=0,
                seed=seed,
                augment=recipe.augment,
                num_workers=0,
            )
            options: dict[str, Any] = {"x": data.train}
        else:
            options = {"x": images, "y": labels, "batch_size": recipe.batch_size}
        return model.fit(**options, epochs=epochs, verbose=0, callbacks=callbacks)


def _fingerprint(images: np.ndarray, labels: np.ndarray) -> tuple[int, int, bytes]:
    return len(images), int(images.sum()), labels.tobytes()


def _optimizer(recipe: Recipe) -> Any:
    options: dict[str, Any] = {}
    if recipe.weight_decay:
        options["weight_decay"] = recipe.weight_decay
    if recipe.ema:
        options |= {"use_ema": True, "ema_momentum": recipe.ema}
    if recipe.optimizer == "sgd":
        options["momentum"] = 0.9
    return keras.optimizers.get({"class_name": recipe.optimizer, "config": options})


def _rates(recipe: Recipe, model: Any, steps: int) -> dict[str, Any]:
    backbone = model.block_names[:-1]
    rates = {
        name: recipe.rate * recipe.decay**distance
        for distance, name in enumerate(reversed(backbone))
    } | {HEAD: recipe.head_rate}
    return {
        name: schedules.make(recipe.schedule, rates[name], steps)
        for name in model.block_names
        if name in model.trainable_blocks
    }
