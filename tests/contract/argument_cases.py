"""Calls of `compile`, `evaluate`, `predict` and the methods of one batch, argument by argument."""

from __future__ import annotations

import keras
from keras import losses, metrics
from pairs import HELD_X, HELD_Y, WEIGHTS, X, Y, compiled, fitted


def compiled_with(**options):
    """The history of a model compiled with these options, and what `evaluate` gives then."""

    def run(model):
        made = {key: value() if callable(value) else value for key, value in options.items()}
        compiled(model, **made)
        return fitted(model), model.evaluate(HELD_X, HELD_Y, verbose=0, return_dict=True)

    return run


def called(method, *arguments, **options):
    """What a method gives after a short training."""

    def run(model):
        fitted(model, epochs=1)
        keras.utils.set_random_seed(2)
        given = {key: value() if callable(value) else value for key, value in options.items()}
        result = getattr(model, method)(*arguments, **given)
        return result, model.get_weights()

    return run


class Seen(keras.callbacks.Callback):
    """Stops after a batch, as a callback may."""

    def on_test_batch_end(self, batch, logs=None):
        self.model.stop_evaluating = True

    def on_predict_batch_end(self, batch, logs=None):
        self.model.stop_predicting = True


def no_loss(y_true, y_pred):
    return keras.ops.mean(keras.ops.square(y_pred), axis=-1)


COMPILE = {
    "optimizer": [
        compiled_with(optimizer="sgd"),
        compiled_with(optimizer=lambda: keras.optimizers.Adam(0.01)),
        compiled_with(optimizer=lambda: {"class_name": "SGD", "config": {"learning_rate": 0.02}}),
    ],
    "loss": [
        compiled_with(loss="sparse_categorical_crossentropy"),
        compiled_with(loss=lambda: losses.SparseCategoricalCrossentropy(ignore_class=1)),
        compiled_with(loss=lambda: no_loss),
        compiled_with(loss=lambda: [losses.SparseCategoricalCrossentropy()]),
        compiled_with(loss=lambda: {"head": losses.SparseCategoricalCrossentropy()}),
    ],
    "loss_weights": [compiled_with(loss_weights=0.5), compiled_with(loss_weights=[2.0])],
    "metrics": [
        compiled_with(metrics=["acc"]),
        compiled_with(metrics=lambda: [metrics.SparseTopKCategoricalAccuracy(2)]),
        compiled_with(metrics=lambda: {"head": ["accuracy"]}),
        compiled_with(metrics=lambda: [["accuracy"]]),
        compiled_with(metrics=lambda: []),
    ],
    "weighted_metrics": [compiled_with(weighted_metrics=["accuracy"])],
    "run_eagerly": [compiled_with(run_eagerly=True)],
    "steps_per_execution": [compiled_with(steps_per_execution=1)],
    "jit_compile": [compiled_with(jit_compile=False), compiled_with(jit_compile="auto")],
    "auto_scale_loss": [compiled_with(auto_scale_loss=False)],
}
EVALUATE = {
    "x": [called("evaluate", [HELD_X], HELD_Y, verbose=0)],
    "y": [called("evaluate", HELD_X, HELD_Y[:, None], verbose=0)],
    "batch_size": [called("evaluate", HELD_X, HELD_Y, batch_size=4, verbose=0)],
    "verbose": [called("evaluate", HELD_X, HELD_Y, verbose=verbose) for verbose in (1, 2, "auto")],
    "sample_weight": [called("evaluate", HELD_X, HELD_Y, sample_weight=WEIGHTS[:9], verbose=0)],
    "steps": [called("evaluate", HELD_X, HELD_Y, batch_size=4, steps=2, verbose=0)],
    "callbacks": [
        called("evaluate", HELD_X, HELD_Y, batch_size=4, verbose=0, callbacks=lambda: [Seen()])
    ],
    "return_dict": [called("evaluate", HELD_X, HELD_Y, verbose=0, return_dict=True)],
    "kwargs": [called("evaluate", HELD_X, HELD_Y, no_such=1)],
}
PREDICT = {
    "x": [called("predict", [HELD_X], verbose=0), called("predict", {"images": HELD_X}, verbose=0)],
    "batch_size": [called("predict", HELD_X, batch_size=4, verbose=0)],
    "verbose": [called("predict", HELD_X, verbose=verbose) for verbose in (1, 2)],
    "steps": [called("predict", HELD_X, batch_size=4, steps=2, verbose=0)],
    "callbacks": [called("predict", HELD_X, batch_size=4, verbose=0, callbacks=lambda: [Seen()])],
}
TRAIN_ON_BATCH = {
    "x": [called("train_on_batch", X, Y), called("train_on_batch", [X], Y)],
    "y": [called("train_on_batch", X, Y[:, None])],
    "sample_weight": [called("train_on_batch", X, Y, sample_weight=WEIGHTS)],
    "class_weight": [called("train_on_batch", X, Y, class_weight={0: 2.0, 1: 0.5, 2: 1.0})],
    "return_dict": [called("train_on_batch", X, Y, return_dict=True)],
}
TEST_ON_BATCH = {
    "x": [called("test_on_batch", X, Y)],
    "y": [called("test_on_batch", X, Y[:, None])],
    "sample_weight": [called("test_on_batch", X, Y, sample_weight=WEIGHTS)],
    "return_dict": [called("test_on_batch", X, Y, return_dict=True)],
}
PREDICT_ON_BATCH = {"x": [called("predict_on_batch", X), called("predict_on_batch", [X])]}
CASES = {
    "compile": COMPILE,
    "evaluate": EVALUATE,
    "predict": PREDICT,
    "train_on_batch": TRAIN_ON_BATCH,
    "test_on_batch": TEST_ON_BATCH,
    "predict_on_batch": PREDICT_ON_BATCH,
}
# Plain Keras refuses these, and so must the classifier.
REFUSED = {("evaluate", "kwargs")}
