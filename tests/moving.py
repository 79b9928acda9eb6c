"""Saves a trained model, or opens those of all backends; a process of the moving test."""

import json
import sys
from pathlib import Path

import numpy as np

import kerastl

BACKENDS = ("torch", "jax", "tensorflow")
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(24) % 3


def one_step(model, index):
    """Train on eight images; their loss before the update."""
    chosen = slice(8 * index, 8 * index + 8)
    history = model.fit(IMAGES[chosen], LABELS[chosen], batch_size=8, verbose=0)
    return history.history["loss"][0]


def save(folder, backend):
    model = kerastl.ImageClassifier("torchvision:resnet18", 3, weights=None, image_size=32)
    model.freeze(through="layer3")
    model.compile("adam", learning_rate={"layer4": 1e-4, "head": 1e-3}, metrics=[])
    one_step(model, 0)
    one_step(model, 1)
    model.save(folder / f"{backend}.keras")
    predictions = model.predict(IMAGES, verbose=0)
    np.savez(folder / f"{backend}.npz", predictions=predictions, next_loss=one_step(model, 2))


def open_all(folder, backend):
    for saved_on in BACKENDS:
        model = kerastl.load_model(folder / f"{saved_on}.keras")
        rates = model.learning_rates()
        about = {
            "trainable": list(model.trainable_blocks),
            "rates": {block: rates[block] for block in model.trainable_blocks},
            "iterations": int(model.optimizer.iterations),
        }
        predictions = model.predict(IMAGES, verbose=0)
        next_loss, loss_after = one_step(model, 2), one_step(model, 0)
        name = f"{saved_on}-on-{backend}"
        (folder / f"{name}.json").write_text(json.dumps(about))
        np.savez(
            folder / f"{name}.npz",
            predictions=predictions,
            next_loss=next_loss,
            loss_after=loss_after,
        )


if __name__ == "__main__":
    import keras

    stage = {"save": save, "open": open_all}[sys.argv[2]]
    stage(Path(sys.argv[1]), keras.backend.backend())
