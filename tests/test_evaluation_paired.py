"""Two models on the same images, against published examples, SciPy and work by hand."""

import numpy as np
import pytest
from scipy import stats

from kerastl.evaluation import paired
from kerastl.evaluation.scores import Evaluation, MultiLabelEvaluation, RegressionEvaluation

RNG = np.random.default_rng(5)


def right(both, only_first, only_second, neither):
    """Which images two models got right."""
    first = [True] * (both + only_first) + [False] * (only_second + neither)
    second = [True] * both + [False] * only_first + [True] * only_second + [False] * neither
    return first, second


def test_mcnemar_by_hand():
    """1 against 7: of 2**8 ways to toss 8 coins, 1 + 8 have at most one head; both ends count."""
    assert paired.mcnemar(1, 7) == pytest.approx(2 * (1 + 8) / 2**8)
    assert paired.mcnemar(7, 1) == paired.mcnemar(1, 7)
    assert paired.mcnemar(4, 4) == 1.0
    assert paired.mcnemar(0, 0) == 1.0
    assert paired.mcnemar(0, 6) == pytest.approx(2 / 2**6)


@pytest.mark.parametrize(
    ("counts", "p_value", "interval"),
    [
        # Bentur et al., 2009, in Fagerland, Lydersen and Laake, 2014: airways of 21 children.
        ((1, 7, 1, 12), 0.0703, (-0.507, -0.026)),
        # Altman et al., Statistics with Confidence, 2000, Table 6.2.
        ((14, 0, 5, 22), 0.0625, (0.011, 0.226)),
        # Newcombe, 1998, Statistics in Medicine 17:2635-2650, Table II, method 10.
        ((36, 2, 12, 0), 0.0129, (0.0569, 0.3404)),
    ],
)
def test_published_examples_of_pairs(counts, p_value, interval):
    found = paired.compare_right(*right(*counts))
    assert found.p_value == pytest.approx(p_value, abs=5e-5)
    assert found.interval == pytest.approx(interval, abs=6e-4)
    assert found.images == sum(counts)
    assert found.only_right == counts[1:3]
    assert found.difference == pytest.approx((counts[2] - counts[1]) / sum(counts))


def test_a_difference_that_chance_explains_is_called_noise():
    found = paired.compare_right(*right(65, 4, 6, 3))
    assert found.is_noise
    assert found.sentence() == (
        "The difference is less than the noise: two equally good models would differ as much on "
        "78 images by chance (exact McNemar test, p = 0.75)."
    )


def test_a_difference_beyond_chance_names_the_better():
    found = paired.compare_right(*right(60, 0, 10, 8))
    assert found.sentence("A", "B") == (
        "B is better by more than the noise (exact McNemar test, p = 0.0020)."
    )
    found = paired.compare_right(*right(60, 30, 0, 8))
    assert found.sentence() == (
        "The first model is better by more than the noise (exact McNemar test, p < 0.001)."
    )


def test_models_that_are_right_on_the_same_images_show_no_difference():
    found = paired.compare_right(*right(5, 0, 0, 1))
    assert found.sentence() == (
        "Both are right on the same of these 6 images: no difference (exact McNemar test, p = 1.0)."
    )
    assert found.interval[0] < 0 < found.interval[1]


def test_classes_are_compared_by_accuracy():
    truth = np.array([0, 1, 1, 0])
    first = Evaluation("ab", truth, np.eye(2)[[0, 1, 1, 1]])
    second = Evaluation("ab", truth, np.eye(2)[[0, 0, 0, 1]])
    found = paired.compare(first, second)
    assert (found.score, found.method) == ("accuracy", paired.MCNEMAR)
    assert found.values == (0.75, 0.25)
    assert found.only_right == (2, 0)


def test_a_paired_bootstrap_of_errors_is_scipys_up_to_the_draws():
    truth = RNG.normal(0, 1, (150, 1))
    first = RegressionEvaluation("x", truth, truth + RNG.normal(0, 1.0, truth.shape))
    second = RegressionEvaluation("x", truth, truth + RNG.normal(0, 0.7, truth.shape))
    found = paired.compare(first, second)
    gains = np.abs(second.predicted - truth)[:, 0] - np.abs(first.predicted - truth)[:, 0]
    expected = stats.bootstrap(
        (gains,), np.mean, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    width = expected.high - expected.low
    assert found.score == "mean_absolute_error"
    assert found.difference == pytest.approx(gains.mean())
    assert found.interval == pytest.approx(tuple(expected), abs=0.1 * width)
    assert found.p_value < 0.05
    assert found.sentence().startswith("The second model is better")


def test_the_p_value_of_a_bootstrap_is_near_that_of_a_t_test():
    """Paired t-test (Student, 1908) on the absolute errors, for a difference within the noise."""
    truth = RNG.normal(0, 1, (400, 1))
    first = RegressionEvaluation("x", truth, truth + RNG.normal(0, 1.0, truth.shape))
    second = RegressionEvaluation("x", truth, truth + RNG.normal(0, 0.95, truth.shape))
    errors = [np.abs(one.predicted - truth)[:, 0] for one in (first, second)]
    expected = stats.ttest_rel(*errors).pvalue
    assert paired.compare(first, second).p_value == pytest.approx(expected, abs=0.06)


def test_several_labels_are_compared_by_mean_average_precision():
    truth = (RNG.random((80, 3)) < 0.4).astype("float32")
    noise = RNG.random(truth.shape)
    good = MultiLabelEvaluation("abc", truth, (truth + noise) / 2)
    bad = MultiLabelEvaluation("abc", truth, noise)
    found = paired.compare(bad, good)
    assert found.score == "mean_average_precision"
    assert found.only_right is None
    assert found.interval[0] > 0
    assert found.sentence().startswith("The second model is better")
    same = paired.compare(good, good)
    assert (same.difference, same.interval, same.p_value) == (0, (0, 0), 1)


def test_labels_that_no_image_has_leave_nothing_to_say():
    nothing = MultiLabelEvaluation("ab", np.zeros((3, 2)), np.ones((3, 2)))
    found = paired.compare(nothing, nothing)
    assert np.isnan([*found.values, *found.interval, *found.intervals[0]]).all()
    assert found.p_value == 1
    assert found.is_noise


def test_other_images_are_refused():
    first = Evaluation("ab", np.array([0, 1]), np.eye(2))
    for other in (
        Evaluation("ab", np.array([1, 0]), np.eye(2)),
        RegressionEvaluation("x", np.zeros((2, 1)), np.zeros((2, 1))),
    ):
        with pytest.raises(ValueError, match="must be of the same task, images and order"):
            paired.compare(first, other)
    with pytest.raises(ValueError, match="must be of the same images, one or more"):
        paired.compare_right([True], [True, False])
