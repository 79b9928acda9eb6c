"""Stopping at a loss that is not finite."""

import keras
import numpy as np
import pytest

from kerastl.errors import TrainingDivergedError
from kerastl.model import divergence as callbacks

X = np.ones((8, 2), "float32")
Y = np.ones((8, 1), "float32")


def small_model() -> keras.Model:
    model = keras.Sequential([keras.Input((2,)), keras.layers.BatchNormalization()])
    model.add(keras.layers.Dense(1))
    model.compile(keras.optimizers.SGD(0.01), loss="mse")
    return model


class Poison(keras.callbacks.Callback):
    """Makes a weight NaN before a step of the second epoch, and keeps the good weights."""

    def on_epoch_begin(self, epoch, logs=None):
        self.good = [np.array(weight) for weight in self.model.get_weights()]
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if (self.epoch, batch) == (1, 1):
            self.model.weights[-1].assign([float("nan")])


def test_a_loss_that_is_not_finite_stops_and_restores_the_last_finished_epoch():
    model, poison = small_model(), Poison()
    model.optimizer.current_rates = lambda: {"head": 0.01}
    stop = callbacks.StopOnNonFiniteLoss()
    with pytest.raises(TrainingDivergedError, match=r"nan at step 2 of epoch 2, .* head 0\.01"):
        model.fit(X, Y, batch_size=2, epochs=3, verbose=0, callbacks=[stop, poison])
    for weight, good in zip(model.get_weights(), poison.good, strict=True):
        np.testing.assert_array_equal(weight, good)


def test_a_finite_loss_passes():
    model = small_model()
    model.fit(X, Y, verbose=0, callbacks=[callbacks.StopOnNonFiniteLoss()])
