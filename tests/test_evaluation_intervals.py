"""Intervals of scores, against published tables, SciPy and scikit-learn."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from kerastl.evaluation import intervals
from kerastl.evaluation.resampling import RESAMPLES, num_images, resamples, weighted_scores
from kerastl.evaluation.run_record import RunResults
from kerastl.evaluation.scores import Evaluation, MultiLabelEvaluation, RegressionEvaluation

RNG = np.random.default_rng(3)


@pytest.mark.parametrize(
    ("right", "images", "expected"),
    [
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0000, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_wilsons_interval_is_that_of_newcombes_table(right, images, expected):
    """Newcombe, 1998, Statistics in Medicine 17:857-872, Table I, method 3."""
    assert intervals.wilson(right, images) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(("right", "images"), [(0, 1), (1, 1), (69, 78), (49_000, 50_000)])
def test_wilsons_interval_is_that_of_its_formula(right, images):
    share, z = right / images, stats.norm.ppf(0.975)
    middle = (share + z**2 / (2 * images)) / (1 + z**2 / images)
    half = z * np.sqrt(share * (1 - share) / images + z**2 / (4 * images**2))
    half /= 1 + z**2 / images
    found = intervals.wilson(right, images)
    assert found == pytest.approx((middle - half, middle + half), abs=1e-12)


@pytest.mark.parametrize(("right", "images"), [(0, 0), (3, 2), (-1, 2)])
def test_a_share_of_nothing_is_refused(right, images):
    with pytest.raises(ValueError, match="`right` must be between 0 and `images`"):
        intervals.wilson(right, images)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((56, 70), (48, 80), (0.0524, 0.3339)),
        ((9, 10), (3, 10), (0.1705, 0.8090)),
        ((6, 7), (2, 7), (0.0582, 0.8062)),
    ],
)
def test_the_interval_of_a_difference_is_that_of_newcombes_table(first, second, expected):
    """Newcombe, 1998, Statistics in Medicine 17:873-890, Table II, method 10."""
    assert intervals.difference_interval(first, second) == pytest.approx(expected, abs=5e-5)


def numbers(images=60, outputs=2):
    truth = RNG.normal(5, 2, (images, outputs))
    return RegressionEvaluation("xy"[:outputs], truth, truth + RNG.normal(0.3, 1, truth.shape))


def labels(images=60, classes=3):
    truth = (RNG.random((images, classes)) < 0.3).astype("float32")
    given = np.round((truth + RNG.random((images, classes)) * 2) / 3, 1)
    return MultiLabelEvaluation(["a", "b", "c"][:classes], truth, given.astype("float32"))


def classes(images=78, wrong=9):
    truth = np.zeros(images, dtype="int64")
    given = np.tile([0.9, 0.1], (images, 1))
    given[:wrong] = [0.2, 0.8]
    return Evaluation(["cat", "dog"], truth, given)


@pytest.mark.parametrize("evaluation", [numbers(), labels(), classes()])
def test_with_each_image_once_the_weighted_scores_are_the_scores(evaluation):
    once = np.ones((1, num_images(evaluation)))
    for name, score in weighted_scores(evaluation).items():
        assert score(once) == pytest.approx([evaluation.scores[name]], rel=1e-9)


def test_counts_of_images_are_scikit_learns_sample_weights():
    found, other = labels(), numbers()
    counts = next(resamples(60))[:5]
    given = weighted_scores(found)["mean_average_precision"](counts)
    r2 = weighted_scores(other)["r2"](counts)
    for row, weights in enumerate(counts):
        expected = [
            metrics.average_precision_score(truth, given_one, sample_weight=weights)
            for truth, given_one in zip(found.labels.T, found.probabilities.T, strict=True)
        ]
        assert given[row] == pytest.approx(np.mean(expected), rel=1e-6)
        of_row = metrics.r2_score(other.truth, other.predicted, sample_weight=weights)
        assert r2[row] == pytest.approx(of_row, rel=1e-9)


def test_each_resample_has_as_many_images_and_is_the_same_again():
    drawn = np.concatenate(list(resamples(7)))
    assert drawn.shape == (RESAMPLES, 7)
    assert (drawn.sum(axis=1) == 7).all()
    np.testing.assert_array_equal(drawn, np.concatenate(list(resamples(7))))


@pytest.mark.parametrize("name", ["mean_absolute_error", "root_mean_squared_error", "r2"])
def test_a_bootstrap_interval_is_scipys_up_to_the_draws(name):
    found = numbers(images=200, outputs=1)
    score = {
        "mean_absolute_error": metrics.mean_absolute_error,
        "root_mean_squared_error": metrics.root_mean_squared_error,
        "r2": metrics.r2_score,
    }[name]
    expected = stats.bootstrap(
        (found.truth[:, 0], found.predicted[:, 0]),
        score,
        paired=True,
        vectorized=False,
        n_resamples=2000,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    low, high = intervals.score_intervals(found)[name]
    width = expected.high - expected.low
    assert low == pytest.approx(expected.low, abs=0.1 * width)
    assert high == pytest.approx(expected.high, abs=0.1 * width)


def test_an_accuracy_has_wilsons_interval_and_the_loss_has_none():
    assert intervals.score_intervals(classes()) == {"accuracy": intervals.wilson(69, 78)}


def test_numbers_that_are_all_alike_and_a_single_image_have_no_nonsense():
    alike = RegressionEvaluation("x", np.full((4, 1), 0.1), np.full((4, 1), 0.1))
    assert intervals.score_intervals(alike)["r2"] == (1.0, 1.0)
    one = RegressionEvaluation("x", np.ones((1, 1)), np.ones((1, 1)))
    one_label = MultiLabelEvaluation("a", np.zeros((3, 1)), np.ones((3, 1)))
    assert intervals.score_intervals(one) == {}
    assert intervals.score_intervals(one_label) == {}


def test_a_line_says_score_interval_and_images():
    line = intervals.described(
        {"accuracy": 69 / 78, "loss": 0.25}, {"accuracy": intervals.wilson(69, 78)}, images=78
    )
    assert line == "accuracy 0.8846 (0.79-0.94, 78 images)  loss 0.2500"
    assert intervals.described({"loss": 0.25}, {}, images=1078) == "loss 0.2500  (1,078 images)"


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        ((0.3, 0.95), "0.30-0.95"),
        ((0.0, 1.0), "0.0-1.0"),
        ((0.9381, 0.9402), "0.9381-0.9402"),
        ((110.2, 137.9), "110-138"),
        ((-0.31, -0.1), "-0.31 to -0.10"),
        ((-0.0, 0.04), "0.000-0.040"),
        ((0.5, 0.5), "0.5000-0.5000"),
        ((float("nan"), float("nan")), "-"),
    ],
)
def test_an_interval_has_two_digits_of_its_width(interval, text):
    assert intervals.shown(interval) == text


def test_a_file_without_intervals_has_those_of_its_accuracies():
    old = RunResults(
        train={"accuracy": 1.0, "loss": 0.1},
        test={"accuracy": 69 / 78, "loss": 0.5},
        images={"train": 4, "validation": 0, "test": 78},
    )
    assert intervals.known_intervals(old) == {
        "train": {"accuracy": intervals.wilson(4, 4)},
        "test": {"accuracy": intervals.wilson(69, 78)},
    }
    new = RunResults(test={"r2": 0.5}, images={"test": 9}, intervals={"test": {"r2": [0.1, 0.6]}})
    assert intervals.known_intervals(new) == {"test": {"r2": (0.1, 0.6)}}
