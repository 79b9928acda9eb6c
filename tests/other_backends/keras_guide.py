"""Keras's transfer-learning guide: a base model that trains, called in inference mode.

https://keras.io/guides/transfer_learning/. The guide says `training=False` in a functional
model, which Keras 3.15 overrides in `fit` (keras-team/keras issue 20285). So it is said here
in the `call` of a model, where it holds.
"""

import keras
import numpy as np
import reference

from kerastl import ImageClassifier

SPEC, SIZE = "keras:MobileNet?alpha=0.25", 32
RATE = 0.01


class Guide(keras.Model):
    """The guide's model on images that are scaled already."""

    def __init__(self):
        super().__init__()
        self.base = keras.applications.MobileNet(
            alpha=0.25, include_top=False, weights=None, input_shape=(SIZE, SIZE, 3)
        )
        self.base.trainable = True
        self.pool = keras.layers.GlobalAveragePooling2D()
        self.top = keras.layers.Dense(4, activation="softmax")

    def call(self, inputs, training=None):
        return self.top(self.pool(self.base(inputs, training=False)))


def guides_model(model):
    """The guide's model with the weights of a classifier."""
    guide = Guide()
    guide(np.zeros((1, SIZE, SIZE, 3), "float32"))
    assert len(guide.weights) == len(weights_of(model))
    for variable, value in zip(guide.weights, weights_of(model), strict=True):
        variable.assign(reference.as_numpy(value))  # JAX gives a trained one's memory away
    return guide


def weights_of(model):
    """Every weight and moving statistic; Keras lists the blocks' networks in forward order."""
    return [v for v in model.weights if "seed" not in v.path]


def draw_weights(model):
    """The same on every backend, and such that numbers stay in range (He et al., 2015)."""
    draw = np.random.default_rng(0)
    for variable in weights_of(model):
        shape, path = variable.shape, variable.path
        if "kernel" in path:
            inputs = np.prod(shape[:2] if "conv_dw" in path else shape[:-1])
            variable.assign(draw.normal(0, (2 / inputs) ** 0.5, shape))
        elif path.endswith("moving_mean"):
            variable.assign(draw.uniform(-0.1, 0.1, shape))
        elif path.endswith("moving_variance"):
            variable.assign(draw.uniform(0.5, 1.5, shape))


def check_frozen_statistics_are_keras_guides_way():
    """Losses and weights after eight steps are the guide's; the statistics have not moved."""
    model = ImageClassifier(SPEC, 4, weights=None, image_size=SIZE, batch_norm="frozen")
    draw_weights(model)
    images, labels = reference.pixels(32, SIZE)
    guide = guides_model(model)
    before = [reference.as_numpy(variable) for variable in model.non_trainable_variables]
    options = {"batch_size": 8, "epochs": 2, "shuffle": False, "verbose": 0}
    model.compile(keras.optimizers.SGD(momentum=0.9), learning_rate=RATE, metrics=[])
    losses = model.fit(images, labels, **options).history["loss"]
    scaled = reference.as_numpy(model.get_layer("preprocessing")(images))
    guide.compile(keras.optimizers.SGD(RATE, momentum=0.9), "sparse_categorical_crossentropy")
    expected = guide.fit(scaled, labels, **options).history["loss"]
    print(f"losses {losses}, the guide's {expected}")
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    assert losses[1] < losses[0]
    for variable, old in zip(model.non_trainable_variables, before, strict=True):
        np.testing.assert_array_equal(reference.as_numpy(variable), old)
    found = [
        reference.relative(reference.as_numpy(ours), reference.as_numpy(theirs), floor=1e-2)
        for ours, theirs in zip(weights_of(model), guide.weights, strict=True)
    ]
    print(f"largest relative difference of a weight {max(found):.1e}")
    assert max(found) < 1e-5
