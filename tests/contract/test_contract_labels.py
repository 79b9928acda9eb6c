"""Labels are refused only where the loss in use cannot take them; losses keep what was set."""

import keras
import numpy as np
import pytest
from keras import losses
from pairs import CLASSES, ONE_HOT, X, Y, assert_same, classifier, compiled, fitted, fresh, plain

from kerastl.model import losses as ours

IGNORED = np.where(np.arange(21) % 4 == 0, -1, Y)
SIGNS = np.where(np.eye(CLASSES)[Y] > 0, 1.0, -1.0).astype("float32")
DRAW = np.random.default_rng(3)
LOGITS = (DRAW.normal(size=(8, 5)) * 3).astype("float32")


@pytest.mark.parametrize(
    ("loss", "y"),
    [
        (lambda: losses.SparseCategoricalCrossentropy(ignore_class=-1), IGNORED),
        (lambda: ours.SparseCategoricalCrossentropy(ignore_class=-1), IGNORED),
        (lambda: losses.SparseCategoricalCrossentropy(ignore_class=255), np.where(Y, Y, 255)),
        (lambda: losses.CategoricalHinge(), ONE_HOT),
        (lambda: "hinge", SIGNS),
        (lambda: losses.SquaredHinge(), SIGNS),
        (lambda: losses.MeanSquaredError(), ONE_HOT * 7 - 3),
        (lambda: losses.Poisson(), ONE_HOT * 9),
    ],
)
def test_a_loss_gets_the_labels_that_it_takes(loss, y):
    histories = [fitted(fresh(make, loss=loss(), metrics=[]), y=y) for make in (classifier, plain)]
    assert_same(*histories)


@pytest.mark.parametrize("labels", [-SIGNS[:, 0], np.where(Y, 1, -1)])
def test_a_single_output_takes_signs_with_a_hinge_loss(labels):
    histories = [
        fitted(compiled(make(num_classes=1), loss="hinge", metrics=[]), y=labels)
        for make in (classifier, plain)
    ]
    assert_same(*histories)


@pytest.mark.parametrize(
    ("loss", "wrong"),
    [
        (None, -1),
        ("sparse_categorical_crossentropy", 3),
        (losses.SparseCategoricalCrossentropy(ignore_class=-1), 3),
        (losses.sparse_categorical_crossentropy, 7),
        ([losses.SparseCategoricalCrossentropy()], -2),
    ],
)
def test_labels_that_the_loss_cannot_take_are_refused(loss, wrong):
    labels = Y.copy()
    labels[5] = wrong
    with pytest.raises(ValueError, match=f"from 0 to 2 for num_classes=3.*such as {wrong}"):
        fitted(fresh(classifier, loss=loss), y=labels)


def test_the_default_loss_takes_one_hot_labels_as_categorical_cross_entropy_does():
    one_hot = fitted(fresh(classifier, loss=None), y=ONE_HOT)
    assert_same(one_hot, fitted(fresh(plain, loss=losses.CategoricalCrossentropy()), y=ONE_HOT))
    assert_same(one_hot, fitted(fresh(classifier, loss=None), y=Y))


@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow",
    reason="its compiled step no longer knows the rank of labels whose shape has changed",
)
@pytest.mark.parametrize("first", ["one-hot", "class numbers"])
def test_the_default_accuracy_takes_both_kinds_of_labels_one_after_the_other(first):
    model = classifier()
    model.compile("sgd")
    share = float((model.predict(X, verbose=0).argmax(1) == Y).mean())
    labels = [ONE_HOT, Y] if first == "one-hot" else [Y, ONE_HOT]
    found = [model.evaluate(X, each, verbose=0)[1] for each in (*labels, Y[:, None])]
    np.testing.assert_allclose(found, share, rtol=1e-6)


def test_the_default_loss_takes_shares_of_classes():
    shares = 0.8 * ONE_HOT + 0.2 / CLASSES
    found = fitted(fresh(classifier, loss=None), y=shares)
    assert_same(found, fitted(fresh(plain, loss=losses.CategoricalCrossentropy()), y=shares))


@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SparseCategoricalCrossentropy", {"ignore_class": 2}),
        ("SparseCategoricalCrossentropy", {"reduction": "sum"}),
        ("SparseCategoricalCrossentropy", {"reduction": None}),
        ("CategoricalCrossentropy", {"label_smoothing": 0.2}),
        ("CategoricalCrossentropy", {"axis": 1, "reduction": "mean"}),
        ("BinaryCrossentropy", {"label_smoothing": 0.2, "axis": 0}),
        ("BinaryFocalCrossentropy", {"apply_class_balancing": True, "alpha": 0.6, "gamma": 1.5}),
    ],
)
def test_our_losses_keep_what_was_set(name, options, from_logits):
    activation = keras.activations.sigmoid if "Binary" in name else keras.activations.softmax
    labels = np.arange(8) % 5 if "Sparse" in name else np.eye(5, dtype="float32")[np.arange(8) % 5]
    probabilities = activation(keras.ops.convert_to_tensor(LOGITS))
    expected = getattr(losses, name)(from_logits=True, **options)(labels, LOGITS)
    found = getattr(ours, name)(from_logits=from_logits, **options)(labels, probabilities)
    assert_same(found, expected)


def test_a_subclass_with_arguments_of_its_own_keeps_what_was_set():
    class Scaled(ours.CategoricalCrossentropy):
        def __init__(self, scale, **options):
            super().__init__(**options)
            self.scale = scale

        def get_config(self):
            return {**super().get_config(), "scale": self.scale}

        def call(self, y_true, y_pred):
            return self.scale * super().call(y_true, y_pred)

    probabilities = keras.activations.softmax(keras.ops.convert_to_tensor(LOGITS))
    one_hot = np.eye(5, dtype="float32")[np.arange(8) % 5]
    plainly = losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    assert_same(
        Scaled(3.0, label_smoothing=0.1)(one_hot, probabilities),
        3 * float(plainly(one_hot, LOGITS)) * np.ones(()),
    )


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="needs JAX_ENABLE_X64=1")
@pytest.mark.parametrize("floatx", ["float32", "float64"])
def test_float64_reaches_pixels_and_probabilities(floatx):
    before = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy("float64")
    try:
        model = compiled(classifier(frozen=["stem"]), loss=None)
        fitted(model)
        types = [model.inputs[0].dtype, model.get_layer("preprocessing").compute_dtype]
        types += [str(model.predict(X, verbose=0).dtype), model.outputs[0].dtype]
        near, at = (model(keras.ops.convert_to_tensor(X + d, dtype="float64")) for d in (1e-6, 0))
        difference = np.abs(keras.ops.convert_to_numpy(near - at)).max()
    finally:
        keras.config.set_dtype_policy(before[0])
        keras.config.set_floatx(before[1])
    assert types == ["float64"] * 4
    assert 0 < difference < 1e-7  # float32 has nothing between


@pytest.mark.parametrize("monitor", ["accuracy", "val_accuracy"])
def test_callbacks_know_that_more_of_the_default_accuracy_is_better(monitor):
    model = classifier()
    model.compile("sgd")
    stop = keras.callbacks.EarlyStopping(monitor, patience=1)
    model.fit(X, Y, validation_data=(X, Y), verbose=0, callbacks=[stop])
    assert stop.monitor_op(1.0, 0.5)
