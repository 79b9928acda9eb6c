"""`kerastl.cross_validate`: of the solved head and of training, the model as it was afterwards."""

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from small_models import tiny_resnet

import kerastl
from kerastl.solving.basis import basis_of
from kerastl.solving.folds import fold_numbers
from kerastl.solving.rows import Rows


@pytest.fixture(scope="module")
def model():
    return kerastl.ImageClassifier(tiny_resnet(), 3, weights=None, image_size=32)


@pytest.fixture(scope="module")
def shades():
    """Thirty images of three classes, noise around a shade of each."""
    random = np.random.default_rng(1)
    labels = np.arange(30) % 3
    noise = random.normal(0, 40, (30, 32, 32, 3))
    return np.clip(60 + 60 * labels[:, None, None, None] + noise, 0, 255).astype("uint8"), labels


def state(model):
    variables = [*model.variables, *(model.optimizer.variables if model.compiled else ())]
    return [np.array(keras.ops.convert_to_numpy(variable.value)) for variable in variables]


def assert_same(before, after):
    for value, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(value, other)


def test_the_solved_head_does_as_scikit_learn_on_the_same_folds(model, shades):
    images, labels = shades
    before = model.get_weights()
    found = kerastl.cross_validate(model, images, labels, folds=3, seed=4, solve={"penalty": 10.0})
    assert_same(before, model.get_weights())
    folds = fold_numbers(labels, 30, folds=3, seed=4)
    np.testing.assert_array_equal(found.fold_of_image, folds)
    features = keras.ops.convert_to_numpy(model.features(images))
    standard = basis_of(Rows([features], labels, np.ones(30), 3)).standardized(features)
    expected = cross_val_predict(
        LogisticRegression(C=0.1, tol=1e-10, max_iter=10_000),
        standard,
        labels,
        cv=PredefinedSplit(folds),
        method="predict_proba",
    )
    np.testing.assert_allclose(found.out_of_fold, expected, atol=5e-4)
    accuracies = [
        (expected[folds == fold].argmax(1) == labels[folds == fold]).mean() for fold in range(3)
    ]
    assert [scores["accuracy"] for scores in found.scores] == pytest.approx(accuracies)
    assert found.mean["accuracy"] == pytest.approx(np.mean(accuracies))
    assert found.spread["accuracy"] == pytest.approx(np.std(accuracies, ddof=1))
    assert found.evaluation.accuracy == (expected.argmax(1) == labels).mean()


def test_features_are_computed_once_whatever_the_folds(shades, computed):
    model = kerastl.ImageClassifier(tiny_resnet(), 3, weights=None, image_size=32)
    kerastl.cross_validate(model, *shades, folds=5)
    assert sum(computed) == 30


def test_training_in_each_fold_leaves_weights_and_optimizer_as_they_were(shades):
    images, labels = shades
    model = kerastl.ImageClassifier(tiny_resnet(), 3, weights=None, image_size=32, dropout=0.2)
    model.freeze(through="layer2")
    model.compile(learning_rate=1e-3)
    model.fit(images, labels, epochs=1, verbose=0)
    before, history = state(model), model.history

    class Count(keras.callbacks.Callback):
        seen = 0

        def on_train_begin(self, logs=None):
            assert_same(before[: len(model.weights)], state(model)[: len(model.weights)])

        def on_train_batch_end(self, batch, logs=None):
            Count.seen += 1

        def on_train_end(self, logs=None):
            model.freeze("layer3")

    options = {"epochs": 2, "batch_size": 5, "verbose": 0, "callbacks": [Count()]}
    found = kerastl.cross_validate(model, images, labels, folds=2, fit=options)
    assert Count.seen == 2 * 2 * 3
    assert_same(before, state(model))
    assert model.trainable_blocks == ("layer3", "layer4", "head")
    assert model.history is history
    assert found.out_of_fold.shape == (30, 3)
    np.testing.assert_allclose(found.out_of_fold.sum(1), 1, rtol=1e-5)
    assert len(found.scores) == 2


def test_a_fold_is_predicted_by_a_model_that_was_trained_on_the_rest(shades):
    images, labels = shades
    model = kerastl.ImageClassifier(tiny_resnet(), 3, weights=None, image_size=32)
    model.compile("sgd")
    options = {"epochs": 1, "batch_size": 30, "verbose": 0}
    found = kerastl.cross_validate(model, images, labels, folds=2, fit=options)
    rest = found.fold_of_image != 0
    model.fit(images[rest], labels[rest], **options)
    given = model.predict(images[~rest], verbose=0)
    np.testing.assert_allclose(found.out_of_fold[~rest], given, atol=1e-5)


@pytest.mark.parametrize("fit", [None, {"epochs": 1, "verbose": 0}])
def test_a_group_is_never_split_and_a_class_of_one_image_never_held_out(model, shades, fit):
    images, labels = shades
    labels = np.where(np.arange(30) < 29, labels % 2, 2)
    groups = np.repeat(np.arange(10), 3)
    model.compile("sgd")
    found = kerastl.cross_validate(model, images, labels, folds=3, groups=groups, fit=fit)
    folds = found.fold_of_image
    assert folds[29] == -1
    assert np.isnan(found.out_of_fold[29]).all()
    for group in range(10):
        assert len(np.unique(folds[:29][groups[:29] == group])) == 1
    assert len(found.evaluation.labels) == 29


@pytest.mark.parametrize("fit", [None, {"epochs": 1, "verbose": 0}])
def test_loaded_data_are_folded_without_their_test(fit):
    model = kerastl.ImageClassifier(tiny_resnet(), 10, weights=None, image_size=32)
    model.compile("sgd")
    data = kerastl.load_data("digits", image_size=32, test_split=0.9, validation_split=0.05)
    found = kerastl.cross_validate(model, data, folds=2, fit=fit)
    expected = np.concatenate([data.labels("train"), data.labels("validation")])
    np.testing.assert_array_equal(found.evaluation.labels, expected)
    assert (found.fold_of_image >= 0).all()


def test_numbers_are_validated_too(shades):
    images, labels = shades
    model = kerastl.ImageClassifier(
        tiny_resnet(), 1, weights=None, image_size=32, task="regression"
    )
    found = kerastl.cross_validate(model, images, labels.astype("float32"), folds=3)
    assert found.mean["r2"] > 0
    model.compile("sgd")
    trained = kerastl.cross_validate(
        model, images, labels.astype("float32"), folds=3, fit={"verbose": 0}
    )
    assert trained.out_of_fold.shape == (30, 1)


def test_what_cannot_be_done_is_said_in_a_sentence(shades):
    images, labels = shades
    model = kerastl.ImageClassifier(tiny_resnet(), 3, weights=None, image_size=32)
    with pytest.raises(ValueError, match="`model` must be compiled"):
        kerastl.cross_validate(model, images, labels, fit={})
    model.compile()
    with pytest.raises(ValueError, match="`groups` must have one entry per image"):
        kerastl.cross_validate(model, images, labels, groups=[1, 2])
    with pytest.raises(ValueError, match="`x` must be an array of images"):
        kerastl.cross_validate(model, [(images, labels)], fit={})
    with pytest.raises(ValueError, match="`y` must be given"):
        kerastl.cross_validate(model, images, fit={})
    with pytest.raises(ValueError, match="`solve` must be left out with `fit`"):
        kerastl.cross_validate(model, images, labels, fit={}, solve={})
    with pytest.raises(ValueError, match="none that can be held out"):
        kerastl.cross_validate(model, images[:3], labels[:3])
