"""Trains small models and writes down what came out; the tests start it once or several times.

python tests/trained_together.py FOLDER CASE...
"""

import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import torch
from small_models import tiny_resnet

import kerastl

torch.set_num_threads(1)
if os.environ.get("FLOATX", "float32") == "float64":
    keras.config.set_floatx("float64")

# 37 images in batches of 12: a last batch of one, and uneven parts for four processes.
IMAGES = np.random.default_rng(0).integers(0, 256, (37, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(37) % 4
LARGER = np.repeat(np.repeat(IMAGES, 2, axis=1), 2, axis=2)
WEIGHTS = np.random.default_rng(1).uniform(0.5, 2, 37).astype("float32")
SEED = 7


def classifier(spec=None, **options):
    keras.utils.set_random_seed(SEED)
    if spec is None:
        spec, options = tiny_resnet(), {"weights": None, "image_size": 32, **options}
    return kerastl.ImageClassifier(spec, 4, **options)


class Unfreezing(keras.callbacks.Callback):
    """Lets a block train from some batch of the second epoch on."""

    def __init__(self, block, rate=0.02, *, at=2):
        super().__init__()
        self.block, self.rate, self.at = block, rate, at
        self.epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 1 and batch == self.at:
            self.model.unfreeze(self.block, learning_rate=self.rate)


def compiled(model, optimizer=None, **options):
    optimizer = optimizer or keras.optimizers.SGD(0.05, momentum=0.9)
    model.compile(optimizer, **options)
    return model


def head_and_unfreeze():
    """Arrays in random order, features cached at first; a block unfrozen in the middle."""
    model = classifier(batch_norm="frozen")
    model.freeze()
    compiled(model, learning_rate=0.05)
    return model, model.fit(
        IMAGES,
        LABELS,
        batch_size=12,
        epochs=4,
        verbose=0,
        validation_data=(IMAGES[:9], LABELS[:9]),
        callbacks=[Unfreezing("layer4")],
    )


def trained_batch_norm():
    """All blocks train, with the batches' own statistics; a weight for each image."""
    model = compiled(classifier(), keras.optimizers.SGD(0.01))
    return model, model.fit(
        IMAGES,
        LABELS,
        batch_size=12,
        epochs=3,
        verbose=0,
        sample_weight=WEIGHTS,
        validation_split=0.25,
        cache=False,
    )


def accumulated():
    """Gradients of two batches together, clipped, averaged, with a decay and loss scaling."""
    model = classifier(batch_norm="frozen")
    model.freeze(through="layer3")
    optimizer = keras.optimizers.SGD(
        0.05,
        gradient_accumulation_steps=2,
        global_clipnorm=0.5,
        weight_decay=0.01,
        use_ema=True,
        ema_momentum=0.9,
    )
    compiled(model, keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=1024.0))
    return model, model.fit(IMAGES, LABELS, batch_size=12, epochs=3, verbose=0)


def loaded_images():
    """What `load_data` gives, in its own order, changed at random; the last batch is small."""
    data = kerastl.load_data(
        (IMAGES, LABELS), image_size=32, batch_size=5, seed=3, augment="light", test_split=0.3
    )
    model = classifier(batch_norm="frozen")
    model.freeze(through="layer3")
    compiled(model)
    history = model.fit(
        data.train, epochs=3, verbose=0, validation_data=data.validation, class_weight={1: 2.0}
    )
    test = model.evaluate(data.test, verbose=0, return_dict=True)
    history.history |= {f"test_{name}": [value] for name, value in test.items()}
    return model, history


def loaded_features():
    """Cached features of what `load_data` gives; a tail of one image; a metric by areas."""
    data = kerastl.load_data((IMAGES, LABELS), image_size=32, batch_size=7, seed=3)
    model = classifier()
    model.freeze()
    auc = keras.metrics.AUC(multi_label=True, num_labels=4, name="auc")
    model.compile(keras.optimizers.SGD(0.05), keras.losses.CategoricalCrossentropy(), metrics=[auc])
    labels = np.eye(4, dtype="float32")
    own = torch.utils.data.TensorDataset(torch.tensor(IMAGES), torch.tensor(labels[LABELS]))
    loader = torch.utils.data.DataLoader(own, batch_size=6, shuffle=True)
    history = model.fit(loader, epochs=2, verbose=0, cache="memory")
    model.compile(keras.optimizers.SGD(0.05))
    more = model.fit(data.train, epochs=3, verbose=0, validation_data=data.validation)
    history.history |= {f"more_{name}": values for name, values in more.history.items()}
    return model, history


def lite0(batch_norm="frozen"):
    """The bundled EfficientNet, frozen in part, unfrozen in the middle."""
    model = classifier("bundled:efficientnet_lite0", image_size=64, batch_norm=batch_norm)
    model.freeze()
    compiled(model, keras.optimizers.SGD(0.05))
    return model, model.fit(
        LARGER,
        LABELS,
        batch_size=12,
        epochs=4,
        verbose=0,
        callbacks=[Unfreezing(model.block_names[-2], 0.005)],
    )


def lite0_batch_norm():
    """Likewise, with statistics that are renewed."""
    return lite0("train")


def random_layers():
    """Dropout of torch and of Keras, and stochastic depth, which one process draws alike."""
    model = classifier(
        "bundled:efficientnet_lite0",
        image_size=64,
        batch_norm="frozen",
        dropout=0.3,
        hidden_units=(8,),
    )
    model.freeze(through="stage4")
    compiled(model, keras.optimizers.SGD(0.005))
    return model, model.fit(LARGER, LABELS, batch_size=12, epochs=2, verbose=0)


def torch_dropout():
    """Dropout of single numbers and of channels within a torch module."""
    keras.utils.set_random_seed(SEED)
    module = torch.nn.Sequential(
        torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, stride=4), torch.nn.Dropout2d(0.2)),
        torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Dropout(0.3), torch.nn.Conv2d(8, 8, 3)),
    )
    model = classifier(module, weights=None, image_size=32)
    compiled(model)
    return model, model.fit(IMAGES, LABELS, batch_size=12, epochs=3, verbose=0)


def keras_network():
    """A network of Keras's own, whose batch norms train."""
    model = classifier("keras:MobileNet?alpha=0.25", weights=None, image_size=64)
    model.freeze("stem")
    compiled(model, keras.optimizers.SGD(0.001))
    return model, model.fit(LARGER, LABELS, batch_size=19, epochs=1, verbose=0)


def stopped_early():
    """One process alone is told to stop, amid the second epoch: all do."""
    model = compiled(classifier(batch_norm="frozen"))
    rank = int(os.environ.get("RANK", "0"))

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            last = int(os.environ.get("WORLD_SIZE", "1")) - 1
            if rank == last and len(self.model.history.epoch) == 1 and batch == 1:
                self.model.stop_training = True

    return model, model.fit(IMAGES, LABELS, batch_size=12, epochs=5, verbose=0, callbacks=[Stop()])


def write(folder, case):
    model, history = globals()[case]()
    about = {f"history {name}": np.array(values) for name, values in history.history.items()}
    about |= {
        f"weight {number} {variable.path}": keras.ops.convert_to_numpy(variable.value)
        for number, variable in enumerate(model.weights)
    }
    rank = os.environ.get("RANK", "0")
    np.savez(Path(folder) / f"{case}-{rank}.npz", **about)


if __name__ == "__main__":
    for name in sys.argv[2:]:
        write(sys.argv[1], name)
