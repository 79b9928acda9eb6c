"""`model.solve_head`."""

import keras
import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from small_models import tiny_resnet

import kerastl
from kerastl.data.augmentation import Augmentation
from kerastl.evaluation.calibration import calibrate_from

RNG = np.random.default_rng(0)
LABELS = np.arange(60) % 3
# A colour per class, so that there is something to learn.
IMAGES = (RNG.integers(0, 120, (60, 32, 32, 3)) + np.eye(3)[LABELS][:, None, None] * 60).astype(
    "uint8"
)


def classifier(outputs=3, **options):
    torch.manual_seed(0)
    keras.utils.set_random_seed(0)
    return kerastl.ImageClassifier(tiny_resnet(), outputs, weights=None, image_size=32, **options)


def features_of(model):
    return np.asarray(model.features(IMAGES).detach().cpu(), dtype="float64")


def weights_before_head(model):
    head = model.get_layer("head").weights
    return [
        keras.ops.convert_to_numpy(variable).copy()
        for variable in model.weights
        if not any(variable is other for other in head)
    ]


def test_the_model_predicts_what_scikit_learn_predicts_at_the_same_penalty():
    model = classifier()
    found = model.solve_head(IMAGES, LABELS, penalty=2.0)
    features = features_of(model)
    deviation = features.std(0)
    scale = np.maximum(deviation, 0.3 * np.sqrt((deviation**2).mean()))
    standard = (features - features.mean(0)) / scale
    theirs = LogisticRegression(C=1 / 2.0, tol=1e-10, max_iter=10_000).fit(standard, LABELS)
    np.testing.assert_allclose(
        model.predict(IMAGES, verbose=0), theirs.predict_proba(standard), atol=1e-4
    )
    assert found.penalty == [2.0]


def test_nothing_but_the_head_changes_and_blocks_stay_as_they_were():
    model = classifier()
    model.freeze("stem")
    before = weights_before_head(model)
    model.solve_head(IMAGES, LABELS)
    for now, then in zip(weights_before_head(model), before, strict=True):
        np.testing.assert_array_equal(now, then)
    assert model.trainable_blocks == ("layer1", "layer2", "layer3", "layer4", "head")


def test_fit_goes_on_from_the_solved_head_of_a_model_that_was_compiled_before():
    model = classifier()
    model.freeze()
    model.compile(keras.optimizers.SGD(), learning_rate=1e-12)
    random = model.evaluate(IMAGES, LABELS, verbose=0, return_dict=True)["loss"]
    found = model.solve_head(IMAGES, LABELS)
    history = model.fit(IMAGES, LABELS, epochs=1, verbose=0).history
    solved = found.evaluation("abc", out_of_fold=False).loss
    assert solved < random
    assert history["loss"][0] == pytest.approx(solved, abs=1e-5)


def test_frozen_features_are_kept_for_fit_and_for_the_next_time(monkeypatch):
    from kerastl.prefix import running

    computed = []
    original = running.prefix_function

    def counting(model, boundary):
        function = original(model, boundary)
        return lambda images: (computed.append(len(images)), function(images))[1]

    monkeypatch.setattr(running, "prefix_function", counting)
    model = classifier()
    model.freeze()
    model.compile(learning_rate=1e-3)
    model.solve_head(IMAGES, LABELS)
    assert sum(computed) == 60
    model.solve_head(IMAGES, LABELS)
    model.fit(IMAGES, LABELS, epochs=2, verbose=0)
    assert sum(computed) == 60


@pytest.mark.parametrize("kind", ["loader", "py_dataset", "batches"])
def test_a_loader_gives_the_head_of_the_same_arrays(kind):
    expected = classifier()
    expected.solve_head(IMAGES, LABELS, penalty=1.0)
    if kind == "loader":
        pairs = torch.utils.data.TensorDataset(torch.tensor(IMAGES), torch.tensor(LABELS))
        x = torch.utils.data.DataLoader(pairs, batch_size=7, shuffle=True)
    elif kind == "batches":
        x = [(IMAGES[i : i + 8], LABELS[i : i + 8]) for i in range(0, 60, 8)]
    else:

        class Batches(keras.utils.PyDataset):
            def __len__(self):
                return 6

            def __getitem__(self, number):
                where = slice(number * 10, number * 10 + 10)
                return IMAGES[where], LABELS[where]

        x = Batches()
    model = classifier()
    model.solve_head(x, penalty=1.0)
    np.testing.assert_allclose(
        model.predict(IMAGES, verbose=0), expected.predict(IMAGES, verbose=0), atol=1e-4
    )


def test_every_image_is_judged_by_a_head_that_has_not_seen_it():
    model = classifier()
    noise = np.random.default_rng(1).permutation(LABELS)
    found = model.solve_head(IMAGES, noise, penalty=1e-2)
    fitted = found.evaluation("abc", out_of_fold=False).accuracy
    assert fitted > 0.6 > found.evaluation("abc").accuracy
    np.testing.assert_array_equal(found.labels, noise)
    np.testing.assert_allclose(found.predictions.sum(1), 1.0, rtol=1e-6)


def test_views_of_one_image_are_held_out_together_and_count_as_one():
    data = kerastl.load_data(
        (IMAGES, LABELS), image_size=32, batch_size=8, augment="light", test_split=0
    )
    model = classifier()
    before = data.train.sampler.epoch
    found = model.solve_head(data.train, views=3)
    assert len(found.labels) == data.sizes["train"]
    assert data.train.sampler.epoch == before


def test_mixed_images_give_a_head_of_soft_labels():
    data = kerastl.load_data(
        (IMAGES, LABELS), image_size=32, batch_size=8, augment=Augmentation(mixup=0.4)
    )
    model = classifier()
    found = model.solve_head(data.train, views=2)
    assert found.labels.shape == (data.sizes["train"], 3)
    shares = model.predict(IMAGES, verbose=0).max(1)
    assert (shares[:10] > 1 / 3).all()


def test_class_weights_are_scikit_learns():
    rare = np.r_[np.flatnonzero(LABELS == 0), np.flatnonzero(LABELS > 0)[:10]]
    images, labels = IMAGES[rare], LABELS[rare]
    weights = {0: 0.5, 1: 2.0, 2: 3.0}
    model, other = classifier(), classifier()
    model.solve_head(images, labels, class_weight=weights, penalty=1.0)
    other.solve_head(
        images, labels, sample_weight=np.array([weights[label] for label in labels]), penalty=1.0
    )
    np.testing.assert_allclose(
        model.predict(images, verbose=0), other.predict(images, verbose=0), atol=1e-5
    )


def test_one_probability_several_labels_and_numbers_are_solved_too():
    binary = classifier(1)
    found = binary.solve_head(IMAGES, (LABELS == 1).astype("int64"))
    assert found.evaluation(["no", "yes"]).accuracy > 0.8
    several = classifier(2, task="multi-label")
    rows = np.stack([LABELS == 0, LABELS != 1], 1).astype("float32")
    found = several.solve_head(IMAGES, rows)
    assert found.penalty.shape == (2,)
    assert found.evaluation("ab").scores["mean_average_precision"] > 0.8
    numbers = classifier(1, task="regression")
    found = numbers.solve_head(IMAGES, LABELS * 10.0)
    assert found.evaluation(["size"]).scores["r2"] > 0.5


def test_the_temperature_of_the_model_stays_and_its_probabilities_are_the_solved_ones():
    model, plain = classifier(temperature=2.5), classifier()
    model.solve_head(IMAGES, LABELS, penalty=1.0)
    plain.solve_head(IMAGES, LABELS, penalty=1.0)
    assert model.get_layer("head").temperature == 2.5
    np.testing.assert_allclose(
        model.predict(IMAGES, verbose=0), plain.predict(IMAGES, verbose=0), atol=1e-5
    )


def test_a_calibration_by_out_of_fold_logits_divides_them():
    model = classifier()
    found = model.solve_head(IMAGES, LABELS, penalty=1e-2)
    before = model.predict(IMAGES, verbose=0)
    done = calibrate_from(model, LABELS, found.out_of_fold)
    assert done.loss_after <= done.loss_before
    logits = np.log(before) / done.temperature
    np.testing.assert_allclose(model.predict(IMAGES, verbose=0), softmax(logits, 1), atol=1e-4)


def test_a_saved_model_with_a_solved_head_is_the_same(tmp_path):
    model = classifier()
    model.solve_head(IMAGES, LABELS)
    model.save_weights(tmp_path / "head.weights.h5")
    other = classifier()
    other.load_weights(tmp_path / "head.weights.h5")
    np.testing.assert_array_equal(
        model.predict(IMAGES, verbose=0), other.predict(IMAGES, verbose=0)
    )


@pytest.mark.parametrize(
    ("options", "given", "says"),
    [
        ({"hidden_units": (8,)}, {}, "hidden_units"),
        ({}, {"y": None}, "`y` must be given"),
        ({}, {"y": LABELS[:-1]}, "one entry per image"),
        ({}, {"y": LABELS + 1}, "from 0 to 2"),
        ({}, {"folds": 1}, "`folds` must be 2 or more"),
    ],
)
def test_what_cannot_be_solved_is_one_sentence(options, given, says):
    with pytest.raises(ValueError, match=says):
        classifier(**options).solve_head(**{"x": IMAGES, "y": LABELS, **given})


def test_a_frozen_head_is_not_solved():
    model = classifier()
    model.freeze("head")
    with pytest.raises(ValueError, match="a frozen head"):
        model.solve_head(IMAGES, LABELS)
