"""`kerastl.solving`, against scikit-learn."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from kerastl.solving import basis as bases
from kerastl.solving.folds import fold_numbers
from kerastl.solving.heads import Solution, solve
from kerastl.solving.rows import Rows

OUTPUTS = 4


def cloud(
    count: int, width: int, seed: int = 0, outputs: int = OUTPUTS
) -> tuple[np.ndarray, np.ndarray]:
    """Features that go together, as a network's do, and the class of each row."""
    draws = np.random.default_rng(seed)
    mixed = draws.normal(size=(count, width)) @ draws.normal(size=(width, width))
    mixed /= mixed.std(0)
    labels = (mixed @ draws.normal(size=(width, outputs))).argmax(1)
    features = mixed * 0.3 + draws.normal(size=width)
    labels[:outputs] = range(outputs)
    noisy = features + draws.normal(size=features.shape) * 0.3
    return noisy.astype("float32"), labels.astype("int64")


def rows_of(features: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None) -> Rows:
    outputs = int(targets.max()) + 1 if targets.ndim == 1 else targets.shape[1]
    weights = np.ones(len(targets)) if weights is None else weights
    return Rows([features], targets, weights, outputs)


def never(rows: Rows) -> np.ndarray:
    return np.full(len(rows), -1)


def probabilities(found: Solution, features: np.ndarray) -> np.ndarray:
    logits = features @ found.kernel + found.bias
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(odds / odds.sum(1, keepdims=True))


@pytest.mark.parametrize(("count", "width"), [(300, 20), (40, 120)])
@pytest.mark.parametrize("penalty", [0.5, 30.0])
def test_the_same_penalty_gives_the_coefficients_of_scikit_learn(
    count: int, width: int, penalty: float
) -> None:
    features, labels = cloud(count, width)
    rows = rows_of(features, labels)

    found = solve(rows, "softmax", never(rows), penalty=penalty)

    scaler = StandardScaler().fit(features.astype("float64"))
    standard = scaler.transform(features.astype("float64"))
    theirs = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=10_000).fit(standard, labels)
    np.testing.assert_allclose(
        found.kernel * scaler.scale_[:, None], theirs.coef_.T, atol=1e-4, rtol=0
    )
    np.testing.assert_allclose(
        probabilities(found, features), theirs.predict_proba(standard), atol=1e-4
    )


@pytest.mark.parametrize("count", [150, 400])
def test_a_penalty_so_weak_that_few_rows_matter_gives_the_coefficients_of_scikit_learn(
    count: int,
) -> None:
    features, labels = cloud(count, 200)
    rows = rows_of(features, labels)

    found = solve(rows, "softmax", never(rows), penalty=0.03)

    scaler = StandardScaler().fit(features.astype("float64"))
    standard = scaler.transform(features.astype("float64"))
    theirs = LogisticRegression(C=1 / 0.03, tol=1e-9, solver="newton-cg", max_iter=1000)
    theirs.fit(standard, labels)
    np.testing.assert_allclose(
        found.kernel * scaler.scale_[:, None], theirs.coef_.T, atol=1e-4, rtol=0
    )


def test_the_slope_of_the_penalised_loss_is_nought_at_the_solution() -> None:
    features, labels = cloud(200, 15)
    rows = rows_of(features, labels)
    found = solve(rows, "softmax", never(rows), penalty=3.0)

    scale = features.astype("float64").std(0)
    slopes = probabilities(found, features) - np.eye(OUTPUTS)[labels]
    standard = (features - features.mean(0, dtype="float64")) / scale
    by_kernel = standard.T @ slopes + 3.0 * found.kernel * scale[:, None]

    assert np.abs(by_kernel).max() / len(rows) < 1e-5
    assert np.abs(slopes.sum(0)).max() / len(rows) < 1e-5


def test_rows_that_are_read_in_chunks_give_the_same_head(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = cloud(500, 12)
    in_one = rows_of(features, labels)
    folds = fold_numbers(labels, len(labels))
    expected = solve(in_one, "softmax", folds)

    monkeypatch.setattr(bases, "_MOST_IN_MEMORY", 0)
    monkeypatch.setattr("kerastl.solving.logistic.CHUNK", 64)
    in_parts = Rows([features[:123], features[123:]], labels, np.ones(500), OUTPUTS)
    found = solve(in_parts, "softmax", folds)

    assert found.penalty == expected.penalty
    np.testing.assert_allclose(found.kernel, expected.kernel, atol=1e-4)
    np.testing.assert_allclose(found.held_out, expected.held_out, atol=1e-2)


def test_without_turning_to_principal_axes_the_head_is_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features, labels = cloud(60, 90)
    rows = rows_of(features, labels)
    expected = solve(rows, "softmax", never(rows), penalty=10.0)

    monkeypatch.setattr(bases, "_MOST_TURNED", 10)
    found = solve(rows, "softmax", never(rows), penalty=10.0)

    np.testing.assert_allclose(found.kernel, expected.kernel, atol=1e-4)


def test_a_weight_of_two_is_the_row_twice() -> None:
    features, labels = cloud(80, 10)
    weights = np.ones(80)
    weights[:30] = 2.0
    weighted = rows_of(features, labels, weights)
    twice = rows_of(np.concatenate([features, features[:30]]), np.append(labels, labels[:30]))

    found = solve(weighted, "softmax", never(weighted), penalty=2.0)
    expected = solve(twice, "softmax", never(twice), penalty=2.0)

    np.testing.assert_allclose(found.kernel, expected.kernel, atol=1e-4)


def test_shares_of_classes_are_rows_of_each_class_with_these_weights() -> None:
    features, labels = cloud(70, 8)
    shares = np.full((70, OUTPUTS), 0.1)
    shares[np.arange(70), labels] = 0.7
    soft = rows_of(features, shares.astype("float32"))

    found = solve(soft, "softmax", never(soft), penalty=1.0)

    scaler = StandardScaler().fit(features.astype("float64"))
    standard = scaler.transform(features.astype("float64"))
    theirs = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(
        np.repeat(standard, OUTPUTS, axis=0),
        np.tile(np.arange(OUTPUTS), 70),
        sample_weight=shares.ravel(),
    )
    np.testing.assert_allclose(found.kernel * scaler.scale_[:, None], theirs.coef_.T, atol=1e-4)


def test_each_of_several_labels_is_a_logistic_regression_of_its_own() -> None:
    features, _ = cloud(150, 10)
    draws = np.random.default_rng(3)
    centered = features - features.mean(0)
    labels = (centered @ draws.normal(size=(10, 3)) > 0).astype("float32")
    rows = rows_of(features, labels)
    penalty = np.array([1.0, 10.0, 50.0])

    found = solve(rows, "sigmoid", never(rows), penalty=penalty)

    scaler = StandardScaler().fit(features.astype("float64"))
    standard = scaler.transform(features.astype("float64"))
    for column, value in enumerate(penalty):
        theirs = LogisticRegression(C=1 / value, tol=1e-10, max_iter=10_000)
        theirs.fit(standard, labels[:, column])
        np.testing.assert_allclose(
            found.kernel[:, column] * scaler.scale_, theirs.coef_[0], atol=1e-4
        )


def test_numbers_are_predicted_as_ridge_regression_predicts_them() -> None:
    features, _ = cloud(90, 12)
    draws = np.random.default_rng(4)
    numbers = features @ draws.normal(size=(12, 2)) * [1.0, 100.0] + draws.normal(size=(90, 2))
    rows = rows_of(features, numbers)
    folds = fold_numbers(None, 90)

    found = solve(rows, "squared", folds)

    standard = StandardScaler().fit_transform(features.astype("float64"))
    for column, value in enumerate(found.penalty):
        theirs = Ridge(alpha=value).fit(standard, numbers[:, column])
        predicted = features @ found.kernel[:, column] + found.bias[column]
        np.testing.assert_allclose(predicted, theirs.predict(standard), rtol=1e-6, atol=1e-6)


def test_the_penalty_is_the_one_that_scikit_learn_finds_by_the_same_folds() -> None:
    features, labels = cloud(150, 60, seed=6)
    rows = rows_of(features, labels)
    folds = fold_numbers(labels, len(labels), seed=0)

    found = solve(rows, "softmax", folds)

    standard = StandardScaler().fit_transform(features.astype("float64"))
    losses = {}
    for penalty in 10.0 ** np.arange(-1, 4, 0.5):
        loss = 0.0
        for number in range(5):
            inside, outside = folds != number, folds == number
            fitted = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=5_000)
            fitted.fit(standard[inside], labels[inside])
            given = fitted.predict_log_proba(standard[outside])
            loss -= given[np.arange(outside.sum()), labels[outside]].sum()
        losses[penalty] = loss / len(labels)
    least = min(losses.values())
    best = max(penalty for penalty, loss in losses.items() if loss <= 1.01 * least)
    assert found.penalty == pytest.approx([best])
    ours = log_loss(labels, softmax(found.held_out, 1), labels=range(OUTPUTS))
    assert ours == pytest.approx(losses[best], abs=1e-3)
    assert min(loss for _, loss in found.path) == pytest.approx(losses[best], abs=1e-2)


def test_what_a_row_gets_out_of_fold_does_not_depend_on_its_label() -> None:
    features, labels = cloud(120, 30)
    folds = fold_numbers(labels, len(labels))
    rows = rows_of(features, labels)
    changed = labels.copy()
    changed[folds == 2] = (changed[folds == 2] + 1) % OUTPUTS

    found = solve(rows, "softmax", folds, penalty=5.0)
    other = solve(rows_of(features, changed), "softmax", folds, penalty=5.0)

    np.testing.assert_allclose(found.held_out[folds == 2], other.held_out[folds == 2], atol=1e-2)


def test_a_feature_that_hardly_varies_gets_no_giant_kernel() -> None:
    features, labels = cloud(40, 20)
    features[:, 3] = 0.0
    features[7, 3] = 1e-4
    features[:, 4] = 12.345
    rows = rows_of(features, labels)

    found = solve(rows, "softmax", fold_numbers(labels, 40))

    assert np.isfinite(found.kernel).all()
    assert np.abs(found.kernel[3:5]).max() < np.abs(found.kernel).max()


def test_the_only_image_of_a_class_is_never_held_out() -> None:
    labels = np.array([0] * 10 + [1] * 10 + [2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        folds = fold_numbers(labels, len(labels))
    assert folds[-1] == -1
    assert set(folds[:-1]) == set(range(5))

    features = np.random.default_rng(0).normal(size=(21, 6)).astype("float32")
    found = solve(rows_of(features, labels), "softmax", folds)
    assert np.isnan(found.held_out[-1]).all()
    assert np.isfinite(found.held_out[:-1]).all()


def test_one_image_per_class_is_solved_with_the_penalty_of_no_choice() -> None:
    labels = np.arange(3)
    folds = fold_numbers(labels, 3)
    features = np.eye(3, 5, dtype="float32")

    found = solve(rows_of(features, labels), "softmax", folds)

    assert (folds == -1).all()
    assert (probabilities(found, features).argmax(1) == labels).all()
    assert found.path == ()


def test_images_of_one_group_are_held_out_together() -> None:
    labels = np.repeat([0, 1], 20)
    groups = np.arange(40) // 4
    folds = fold_numbers(labels, 40, groups=groups)
    assert all(len(set(folds[groups == group])) == 1 for group in range(10))


def test_rows_that_are_all_alike_give_the_shares_of_the_classes() -> None:
    labels = np.array([0, 0, 0, 1])
    rows = rows_of(np.ones((4, 5), "float32"), labels)
    found = solve(rows, "softmax", never(rows), penalty=1.0)
    np.testing.assert_allclose(probabilities(found, np.ones((1, 5))), [[0.75, 0.25]], atol=1e-4)
