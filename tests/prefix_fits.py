"""Small fits with and without the cache, for the tests of the frozen prefix."""

import keras
import numpy as np
import torch
from small_models import tiny_resnet
from torch.utils.data import Dataset

import kerastl

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (22, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(22) % 4
HELD_OUT = (RNG.integers(0, 256, (9, 32, 32, 3), dtype=np.uint8), np.arange(9) % 4)


def classifier(*, through="layer2", spec=None, num_classes=4, **kwargs):
    """A classifier that is the same each time; of a tiny ResNet-18, if no other is named."""
    keras.utils.set_random_seed(0)
    model = kerastl.ImageClassifier(
        spec or tiny_resnet(), num_classes, weights=None, image_size=32, dropout=0.3, **kwargs
    )
    if through:
        model.freeze(through=through)
    # Small steps: others blow up the rounding of batches of another size.
    model.compile(keras.optimizers.SGD(momentum=0.9), learning_rate=1e-4)
    return model


def train(model, x=IMAGES, y=LABELS, **kwargs):
    options = {"epochs": 3, "batch_size": 8, "verbose": 0, **kwargs}
    keras.utils.set_random_seed(1)
    return model.fit(x, y, **options).history


def assert_same(history, expected):
    assert history.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-5, atol=1e-6, err_msg=name)


class Flipped(Dataset):
    """Images that are flipped at random."""

    repeats = False  # whether the images are the same each time, as kerastl's own say it

    def __init__(self):
        self.seen = 0

    def __len__(self):
        return len(IMAGES)

    def __getitem__(self, index):
        self.seen += 1
        image = IMAGES[index]
        return (image[:, ::-1].copy() if torch.rand(()) < 0.5 else image), int(LABELS[index])


class Fixed(Flipped):
    """The same images each time."""

    def __getitem__(self, index):
        self.seen += 1
        return IMAGES[index], int(LABELS[index])


class InEpoch(keras.callbacks.Callback):
    """Does something to the model in the second epoch: at its start, or after a batch."""

    def __init__(self, action, *, batch=None):
        super().__init__()
        self.action, self.batch, self.epoch = action, batch, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        if epoch == 1 and self.batch is None:
            self.action(self.model)

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 1 and batch == self.batch:
            self.action(self.model)
