import numpy as np
import pytest

from kerastl.checking.classes import close_names
from kerastl.checking.label_errors import confident_joint, label_errors


@pytest.mark.parametrize(
    "pair",
    [
        ("Sunflower", "sun_flower"),
        ("daisies", "daisy"),
        ("tulip", "tulips"),
        ("golden retriever", "golden retreiver"),
        ("café", "Cafe"),
        ("chihuahua", "chihuaha"),
        ("red wine", "wine, red"),
    ],
)
def test_names_that_nearly_agree(pair):
    assert [each[:2] for each in close_names([*pair, "something else"])] == [pair]


@pytest.mark.parametrize(
    "pair",
    [
        ("class 1", "class 2"),
        ("cat", "car"),
        ("horse", "house"),
        ("male", "female"),
        ("zone_a", "zone_b"),
        ("stage ii", "stage iii"),
        ("glass", "grass"),
    ],
)
def test_names_that_are_two(pair):
    assert not list(close_names(pair))


def brute_force_joint(probabilities, labels):
    """Equation 1 of Northcutt et al. (2021), an image at a time."""
    classes = range(probabilities.shape[1])
    means = [probabilities[labels == k, k].mean() for k in classes]
    joint = np.zeros((len(classes), len(classes)), int)
    for row, label in zip(probabilities, labels, strict=True):
        above = [k for k in classes if row[k] >= means[k]]
        if above:
            joint[label, max(above, key=lambda k: row[k])] += 1
    return joint


def test_the_confident_joint_is_that_of_the_paper():
    draws = np.random.default_rng(0)
    labels = draws.integers(0, 4, 300)
    probabilities = draws.dirichlet(np.ones(4), 300)
    assert (
        confident_joint(probabilities, labels) == brute_force_joint(probabilities, labels)
    ).all()


def test_flipped_labels_are_found_by_logistic_regression_out_of_fold():
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    features, truth = load_digits(return_X_y=True)
    features, truth = features[:1000] / 16, truth[:1000]
    labels = truth.copy()
    flipped = np.random.default_rng(0).permutation(1000)[:50]
    labels[flipped] = (labels[flipped] + 3) % 10
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    model = LogisticRegression(max_iter=200)
    given = cross_val_predict(model, features, labels, cv=folds, method="predict_proba")
    found = label_errors(given, labels)
    right = np.isin(found.numbers, flipped)
    assert right.sum() >= 33
    assert (~right).sum() <= 5
    assert (found.suggested[right] == truth[found.numbers[right]]).mean() > 0.9


def test_labels_without_an_error_have_none():
    labels = np.arange(40) % 4
    assert not len(label_errors(np.eye(4)[labels] * 0.9 + 0.025, labels).numbers)
