"""Calibration against numbers worked out by hand, scikit-learn and torch."""

import keras
import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.calibration import calibration_curve

import kerastl
from kerastl.evaluation import calibration
from kerastl.model.head import ClassificationHead


@pytest.fixture
def random_scores():
    """Labels and overconfident logits of 400 images of five classes."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 5, 400)
    logits = generator.normal(size=(400, 5)) * 3
    logits[np.arange(400), labels] += 2
    return labels, logits


@pytest.fixture
def model():
    return kerastl.ImageClassifier(tiny(), num_classes=4, image_size=32)


def tiny():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=2),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(8, 10),
    )


def test_the_calibration_error_is_the_one_worked_out_by_hand():
    # Two bins: (0.5, 0.75] has confidences 0.6 and 0.7, one right; (0.75, 1] has 0.9, wrong.
    probabilities = [[0.6, 0.4], [0.3, 0.7], [0.9, 0.1]]
    labels = [0, 0, 1]
    curve = calibration.reliability(labels, probabilities, num_bins=4)
    assert curve.counts.tolist() == [0, 0, 2, 1]
    assert curve.confidence.tolist() == pytest.approx([0, 0, 0.65, 0.9])
    assert curve.accuracy.tolist() == [0, 0, 0.5, 0]
    expected = (2 * abs(0.5 - 0.65) + 1 * abs(0 - 0.9)) / 3
    assert curve.error == pytest.approx(expected)
    found = calibration.expected_calibration_error(labels, probabilities, num_bins=4)
    assert found == pytest.approx(expected)


def test_the_reliability_curve_is_scikit_learns(random_scores):
    labels, logits = random_scores
    probabilities = softmax(logits, axis=1)
    right = probabilities.argmax(axis=1) == labels
    accuracy, confidence = calibration_curve(right, probabilities.max(axis=1), n_bins=15)
    curve = calibration.reliability(labels, probabilities)
    filled = curve.counts > 0
    np.testing.assert_allclose(curve.accuracy[filled], accuracy, rtol=1e-12)
    np.testing.assert_allclose(curve.confidence[filled], confidence, rtol=1e-12)
    assert curve.counts.sum() == 400


def test_an_edge_belongs_to_the_bin_below_and_one_to_the_last():
    curve = calibration.reliability([0, 0], [[0.6, 0.4], [1.0, 0.0]], num_bins=5)
    assert curve.counts.tolist() == [0, 0, 1, 0, 1]


@pytest.mark.parametrize("given", [([], np.empty((0, 2))), ([0], [[0.5, 0.5]] * 2), ([0], [0.5])])
def test_scores_without_a_row_per_label_are_refused(given):
    with pytest.raises(ValueError, match="must have one row per label"):
        calibration.reliability(*given)


def test_the_temperature_is_the_optimum_that_torch_finds(random_scores):
    labels, logits = random_scores
    found = calibration.best_temperature(labels, logits)
    temperature = torch.ones((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [temperature], max_iter=200, tolerance_grad=1e-12, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(
            torch.from_numpy(logits) / temperature, torch.from_numpy(labels)
        )
        loss.backward()
        return loss

    optimizer.step(closure)
    assert found == pytest.approx(temperature.item(), rel=1e-6)
    assert found > 1.5


def test_scaled_logits_have_a_scaled_temperature(random_scores):
    labels, logits = random_scores
    found = calibration.best_temperature(labels, logits)
    assert calibration.best_temperature(labels, 4 * logits) == pytest.approx(4 * found)


def test_without_a_mistake_the_temperature_stays_one():
    assert calibration.best_temperature([0, 1], np.array([[2.0, 0.0], [0.0, 1.0]])) == 1.0


def test_logits_that_say_nothing_get_the_highest_temperature():
    assert calibration.best_temperature([0, 0], np.array([[0.0, 1.0], [0.0, 1.0]])) == 1e3


def calibrated(model, images, labels, *, scale=40):
    """The model after `calibrate`, what that gave, and the probabilities before and after."""
    model.get_layer("head").logits.kernel.assign(
        scale * np.random.default_rng(1).normal(size=model.get_layer("head").logits.kernel.shape)
    )
    before = model.predict(images, verbose=0)
    done = kerastl.calibrate(model, [(images[:10], labels[:10]), (images[10:], labels[10:])])
    return done, before, model.predict(images, verbose=0)


def test_calibrate_changes_how_sure_the_model_is_and_not_what_it_says(model, images, labels):
    done, before, after = calibrated(model, images, labels)
    assert done.temperature == model.get_layer("head").temperature != 1
    assert done.loss_after < done.loss_before
    np.testing.assert_array_equal(before.argmax(axis=1), after.argmax(axis=1))
    logits = np.log(before.astype("float64"))
    expected = softmax(logits / done.temperature, axis=1)
    np.testing.assert_allclose(after, expected, atol=1e-5)
    found = calibration.expected_calibration_error(labels, after)
    assert done.error_after == pytest.approx(found, abs=1e-5)
    model.compile("sgd", learning_rate=0.1)
    assert model.evaluate(images, labels, verbose=0)[0] == pytest.approx(done.loss_after, rel=1e-4)


def test_calibrating_twice_gives_the_same_temperature(model, images, labels):
    done, _, _ = calibrated(model, images, labels)
    again = kerastl.calibrate(model, [(images, labels)])
    assert again.temperature == pytest.approx(done.temperature, rel=1e-5)
    assert again.loss_before == pytest.approx(done.loss_after, rel=1e-5)


def test_one_probability_is_calibrated_as_two_classes(images, labels):
    model = kerastl.ImageClassifier(tiny(), num_classes=1, image_size=32)
    done, before, after = calibrated(model, images, labels % 2, scale=4)
    logit = np.log(before.astype("float64")) - np.log1p(-before.astype("float64"))
    expected = 1 / (1 + np.exp(-logit / done.temperature))
    np.testing.assert_allclose(after, expected, atol=1e-4)


@pytest.mark.slow
def test_a_saved_model_keeps_its_temperature(tmp_path):
    model = kerastl.ImageClassifier("torchvision:squeezenet1_1", 3, weights=None, image_size=32)
    model.get_layer("head").temperature = 2.5
    model.save(tmp_path / "model.keras")
    again = kerastl.load_model(tmp_path / "model.keras")
    assert again.get_layer("head").temperature == 2.5
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    np.testing.assert_array_equal(
        again.predict(pixels, verbose=0), model.predict(pixels, verbose=0)
    )


def test_a_file_from_before_temperatures_has_none():
    model = kerastl.ImageClassifier("torchvision:squeezenet1_1", 3, weights=None, image_size=32)
    config = model.get_config()
    del config["temperature"]
    again = kerastl.ImageClassifier.from_config(config)
    assert again.get_layer("head").temperature == 1.0


@pytest.mark.parametrize("temperature", [0, -1, float("nan"), float("inf")])
def test_a_temperature_that_cannot_divide_is_refused(temperature):
    with pytest.raises(ValueError, match="`temperature` must be above 0"):
        ClassificationHead(2, temperature=temperature)


def test_without_images_or_with_one_hot_labels_calibrate_says_so(model, images):
    with pytest.raises(ValueError, match="must hold images"):
        kerastl.calibrate(model, [])
    with pytest.raises(ValueError, match="one class number per image"):
        kerastl.calibrate(model, [(images, np.eye(16))])


def test_mixed_precision_is_calibrated_too(images, labels):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = kerastl.ImageClassifier(tiny(), num_classes=4, image_size=32)
    finally:
        keras.config.set_dtype_policy("float32")
    done, before, after = calibrated(model, images, labels)
    assert done.loss_after < done.loss_before
    np.testing.assert_array_equal(before.argmax(axis=1), after.argmax(axis=1))
