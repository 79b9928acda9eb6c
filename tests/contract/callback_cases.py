"""What each of Keras's callbacks does to a model, as something that can be compared."""

from __future__ import annotations

import csv
import io
import json
import sys
from contextlib import redirect_stdout
from unittest import mock

import keras
import numpy as np
from keras import callbacks
from pairs import HELD_X, HELD_Y, fitted

HELD = {"validation_data": (HELD_X, HELD_Y)}


class Told(callbacks.Callback):
    """Writes down what it is told, in order."""

    def __init__(self):
        super().__init__()
        self.calls = []
        hooks = [name for name in dir(self) if name.startswith("on_")]
        for hook in hooks:
            setattr(self, hook, self._noting(hook))

    def _noting(self, hook):
        def note(*arguments, **named):
            *numbers, logs = [*arguments, *named.values()]
            kept = {k: v for k, v in (logs or {}).items() if not k.startswith("learning_rate/")}
            if "outputs" in kept:
                kept["outputs"] = np.mean(keras.ops.convert_to_numpy(kept["outputs"]))
            self.calls.append((hook, numbers, {k: float(v) for k, v in kept.items()}))

        return note


class Interrupt(callbacks.Callback):
    """Ends the first `fit` in its second epoch, as a power cut would."""

    is_on = True

    def on_epoch_end(self, epoch, logs=None):
        if self.is_on and epoch == 1:
            self.is_on = False
            raise KeyboardInterrupt


class Poison(callbacks.Callback):
    """Makes a weight NaN in the second batch of the second epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if (self.epoch, batch) == (1, 1):
            bias = self.model.get_layer("head").logits.bias
            bias.assign(bias.value * float("nan"))


class Rates(callbacks.Callback):
    """The learning rate at the end of each epoch."""

    def on_train_begin(self, logs=None):
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)))


def base(model, folder):
    told = Told()
    fitted(model, callbacks=[told], **HELD)
    model.evaluate(HELD_X, HELD_Y, batch_size=4, verbose=0, callbacks=[told])
    model.predict(HELD_X, batch_size=4, verbose=0, callbacks=[told])
    return told.calls


def callback_list(model, folder):
    told = Told()
    listed = callbacks.CallbackList([told], add_history=True, model=model, epochs=2, steps=3)
    return fitted(model, callbacks=listed, **HELD), told.calls


def history(model, folder):
    kept = callbacks.History()
    values = fitted(model, epochs=3, callbacks=[kept], **HELD)
    own = {k: v for k, v in kept.history.items() if not k.startswith("learning_rate/")}
    return values, own, kept.epoch, kept.params


def lambdas(model, folder):
    seen = []
    called = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append((epoch, logs["loss"])),
        on_train_end=lambda logs: seen.append(logs["accuracy"]),
    )
    fitted(model, callbacks=[called])
    return seen


def backup_and_restore(model, folder):
    interrupt = Interrupt()
    try:
        backup = callbacks.BackupAndRestore(folder / "backup")
        fitted(model, epochs=4, callbacks=[backup, interrupt])
    except KeyboardInterrupt:
        pass
    backup = callbacks.BackupAndRestore(folder / "backup")
    return fitted(model, epochs=4, callbacks=[backup, interrupt]), model.get_weights()


def backup_within_an_epoch(model, folder):
    told = []
    backup = callbacks.BackupAndRestore(folder / "backup", save_freq=2, delete_checkpoint=False)
    fitted(model, callbacks=[backup], batch_size=5)
    weights = model.get_weights()
    backup = callbacks.BackupAndRestore(folder / "backup", save_freq=2)
    told.append(fitted(model, epochs=3, callbacks=[backup], batch_size=5))
    return told, weights, model.get_weights()


def csv_logger(model, folder):
    file = folder / "log.csv"
    fitted(model, callbacks=[callbacks.CSVLogger(file)], **HELD)
    fitted(model, callbacks=[callbacks.CSVLogger(file, append=True)], **HELD)
    with file.open() as lines:
        rows = list(csv.DictReader(lines))
    return [
        {k: float(v) for k, v in row.items() if not k.startswith("learning_rate/")} for row in rows
    ]


def early_stopping(model, folder):
    stop = callbacks.EarlyStopping("accuracy", patience=0, restore_best_weights=True, verbose=0)
    values = fitted(model, epochs=8, callbacks=[stop])
    return values, stop.stopped_epoch, stop.best_epoch, model.get_weights()


def early_stopping_by_baseline(model, folder):
    stop = callbacks.EarlyStopping("val_loss", baseline=0.01, patience=2, start_from_epoch=1)
    return fitted(model, epochs=8, callbacks=[stop], **HELD), stop.stopped_epoch


def scheduler(model, folder):
    rates = Rates()
    schedule = callbacks.LearningRateScheduler(lambda epoch, rate: rate / (1 + epoch))
    values = fitted(model, epochs=3, callbacks=[schedule, rates])
    return values, rates.seen, model.get_weights()


def scheduler_with_a_keras_schedule(model, folder):
    rates = Rates()
    decay = keras.optimizers.schedules.ExponentialDecay(0.02, 1, 0.5)
    schedule = callbacks.LearningRateScheduler(lambda epoch: float(decay(epoch)))
    return fitted(model, epochs=3, callbacks=[schedule, rates]), rates.seen


def plateau(model, folder):
    rates = Rates()
    reduce = callbacks.ReduceLROnPlateau("accuracy", factor=0.5, patience=0, min_delta=0.5)
    values = fitted(model, epochs=4, callbacks=[reduce, rates])
    return values, rates.seen, model.get_weights()


def checkpoint_of_weights(model, folder):
    file = folder / "best.weights.h5"
    keep = callbacks.ModelCheckpoint(file, "loss", save_best_only=True, save_weights_only=True)
    fitted(model, callbacks=[keep])
    weights = model.get_weights()
    fitted(model)
    model.load_weights(file)
    return weights, model.get_weights(), sorted(each.name for each in folder.iterdir())


def checkpoint_each_epoch(model, folder):
    name = str(folder / "{epoch:02d}-{val_loss:.3f}.weights.h5")
    keep = callbacks.ModelCheckpoint(name, save_weights_only=True)
    fitted(model, callbacks=[keep], **HELD)
    return sorted(each.name for each in folder.iterdir())


def checkpoint_each_few_batches(model, folder):
    name = str(folder / "{epoch:02d}-{batch:02d}.weights.h5")
    keep = callbacks.ModelCheckpoint(name, save_weights_only=True, save_freq=2)
    fitted(model, callbacks=[keep], batch_size=5)
    return sorted(each.name for each in folder.iterdir())


def progbar(model, folder):
    printed = io.StringIO()
    with redirect_stdout(printed):
        fitted(model, verbose=2, callbacks=[callbacks.ProgbarLogger()])
    lines = printed.getvalue().splitlines()
    return [
        part
        for line in lines
        for part in line.split(" - ")
        if "ms" not in part and "learning_rate/" not in part and "s/" not in part
    ]


def remote_monitor(model, folder):
    with mock.patch.dict(sys.modules, requests=mock.MagicMock()) as patched:
        posts = patched["requests"].post
        target = "keras.src.callbacks.remote_monitor.requests"
        with mock.patch(target, patched["requests"]):
            fitted(model, callbacks=[callbacks.RemoteMonitor(send_as_json=False)])
    sent = [json.loads(call.args[1]["data"]) for call in posts.call_args_list]
    return [{k: v for k, v in one.items() if not k.startswith("learning_rate/")} for one in sent]


def swap_ema_weights(model, folder):
    optimizer = keras.optimizers.SGD(0.01, use_ema=True, ema_momentum=0.5)
    model.compile(optimizer, loss=keras.losses.SparseCategoricalCrossentropy())
    values = fitted(model, callbacks=[callbacks.SwapEMAWeights(swap_on_epoch=True)], **HELD)
    return values, model.get_weights()


def tensor_board(model, folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    fitted(model, callbacks=[callbacks.TensorBoard(folder, write_graph=False)], **HELD)
    found = {}
    for part in ("train", "validation"):
        events = EventAccumulator(str(folder / part)).Reload()
        for tag in events.Tags()["tensors"]:
            if "learning_rate/" not in tag:
                found[part, tag] = [event.step for event in events.Tensors(tag)]
    return sorted((*key, *steps) for key, steps in found.items())


def terminate_on_nan(model, folder):
    told = Told()
    fitted(model, epochs=3, callbacks=[Poison(), callbacks.TerminateOnNaN(), told])
    return [(hook, numbers) for hook, numbers, _ in told.calls]


CASES = {
    "Callback": [base],
    "CallbackList": [callback_list],
    "History": [history],
    "LambdaCallback": [lambdas],
    "BackupAndRestore": [backup_and_restore, backup_within_an_epoch],
    "CSVLogger": [csv_logger],
    "EarlyStopping": [early_stopping, early_stopping_by_baseline],
    "LearningRateScheduler": [scheduler, scheduler_with_a_keras_schedule],
    "ModelCheckpoint": [checkpoint_of_weights, checkpoint_each_epoch, checkpoint_each_few_batches],
    "ProgbarLogger": [progbar],
    "ReduceLROnPlateau": [plateau],
    "RemoteMonitor": [remote_monitor],
    "SwapEMAWeights": [swap_ema_weights],
    "TensorBoard": [tensor_board],
    "TerminateOnNaN": [terminate_on_nan],
}
NOT_HELD = {
    "OrbaxCheckpoint": "Not tried, as it needs the package orbax-checkpoint; what it saves, "
    "`get_state_tree` and `set_state_tree`, is compared.",
}
