"""`kerastl.pick`, on tiny networks; the numbers against scikit-learn's."""

import json

import numpy as np
import pytest
import torch
import torchvision
from click.testing import CliRunner
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from small_models import tiny_resnet

import kerastl
from kerastl.backbones.registry import list_backbones
from kerastl.commands import main
from kerastl.evaluation.scoring import evaluate
from kerastl.prefix.feature_files import FeatureFiles, KeptFeatures
from kerastl.runs.picking import (
    candidates,
    entries,
    estimates,
    fine_tuning,
    recommending,
    writing,
)
from kerastl.runs.picking.candidates import Candidate
from kerastl.runs.picking.depth import deepest_useful, depths_to_try
from kerastl.runs.picking.entries import Entry, ImageOrder
from kerastl.runs.picking.results import (
    BEST,
    DROPPED,
    WITHIN_NOISE,
    BlockScore,
    CandidateScore,
    Estimate,
    FineTuning,
)
from kerastl.runs.picking.scoring import Scored
from kerastl.solving.heads import solve
from kerastl.solving.rows import Rows

PLAIN, OTHER = "module:test_runs_picking:plain", "module:test_runs_picking:other"


def plain():
    return _seeded(1)


def other():
    return _seeded(2)


def unseeded():
    return tiny_resnet()


def broken():
    raise RuntimeError("not enough memory")


def _seeded(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return tiny_resnet()


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """Every test has a cache folder of its own."""
    monkeypatch.setenv("KERASTL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


@pytest.fixture
def few_steps(monkeypatch):
    """Fine-tunings of a few steps, where their number does not matter."""
    monkeypatch.setattr(fine_tuning, "MOST_STEPS", 5)
    monkeypatch.setattr(fine_tuning, "FEWEST_STEPS", 4)


@pytest.fixture
def no_tuning(monkeypatch):
    """No time to fine-tune."""
    monkeypatch.setattr("kerastl.runs.picking.tuning.choose_steps", lambda *a, **k: 0)


@pytest.fixture(scope="module")
def arrays():
    """Noisy images of three classes, each of a colour that often misleads."""
    draws = np.random.default_rng(0)
    labels = np.arange(180) % 3
    images = draws.integers(0, 200, (180, 16, 16, 3))
    images[np.arange(180), :, :, labels] += draws.integers(-20, 55, (180, 1, 1))
    return images.clip(0, 255).astype("uint8"), labels


@pytest.fixture
def order(arrays):
    return ImageOrder.of(kerastl.load_data(arrays, image_size=32))


def entry(order, spec=PLAIN, size=32, *, files=None):
    found = Entry(Candidate(spec), size, order, files)
    found.measure()
    return found


def counted(monkeypatch):
    """How many batches go through a backbone."""
    calls = []
    means = entries.block_means

    def counting(model):
        inner = means(model)
        return lambda images: (calls.append(len(images)), inner(images))[1]

    monkeypatch.setattr(entries, "block_means", counting)
    return calls


def quick(arrays, backbones=(PLAIN, OTHER), minutes=1.0, **options):
    return kerastl.pick(arrays, list(backbones), minutes, image_sizes=(32,), **options)


# The rows


def test_every_start_of_the_order_has_each_class_in_proportion(order):
    labels = np.concatenate([order.data.labels("train"), order.data.labels("validation")])
    assert sorted(order.numbers) == list(range(144))
    for count in (30, 60, 90):
        assert np.ptp(np.bincount(labels[order.numbers[:count]])) <= 2


def test_the_rows_are_what_enters_the_head_and_none_is_of_the_test_part(order):
    found = entry(order)
    rows = found.rows(len(order))
    pixels, labels = [], []
    for part in ("train", "validation"):
        for images, truth in found.data.in_order(part):
            pixels.append(np.asarray(images))
            labels.append(np.asarray(truth))
    features = found.model.features(np.concatenate(pixels)).numpy()
    np.testing.assert_allclose(rows.features, features[order.numbers], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(rows.labels, np.concatenate(labels)[order.numbers])
    assert list(rows.blocks) == ["stem", "layer1", "layer2", "layer3", "layer4"]


def test_the_features_behind_a_block_are_its_mean_over_height_and_width(order):
    found = entry(order)
    images = np.asarray(next(iter(found.data.in_order("train")))[0])
    values = images
    for layer in found.model.layers[1:4]:
        values = layer(values)
    expected = values.detach().numpy().mean((1, 2))
    means = entries.block_means(found.model)(images)
    np.testing.assert_allclose(means["layer1"], expected, rtol=1e-4, atol=1e-5)


def test_rows_grow_and_the_first_are_not_computed_again(order, monkeypatch):
    calls = counted(monkeypatch)
    found = entry(order)
    calls.clear()
    few = found.rows(40)
    assert sum(calls) == 40
    all_rows = found.rows(144)
    assert sum(calls) == 144
    np.testing.assert_array_equal(all_rows.features[:40], few.features)
    np.testing.assert_array_equal(all_rows.positions, np.arange(144))


def test_asking_again_computes_nothing_and_other_weights_or_images_do(order, arrays, monkeypatch):
    files = FeatureFiles()
    first = entry(order, files=files).rows(144)
    calls = counted(monkeypatch)
    again = entry(order, files=files)
    np.testing.assert_array_equal(again.rows(144).features, first.features)
    assert not calls
    assert again.milliseconds > 0
    for changed in (
        lambda: entry(order, OTHER, files=files),
        lambda: entry(order, size=64, files=files),
        lambda: entry(ImageOrder.of(kerastl.load_data((255 - arrays[0], arrays[1]))), files=files),
    ):
        calls.clear()
        changed().rows(144)
        assert sum(calls) >= 144


def test_rows_of_random_weights_are_not_kept(order, cache):
    found = Entry(Candidate(PLAIN, "none"), 32, order, FeatureFiles())
    found.measure()
    found.rows(144)
    assert not cache.exists()


def test_features_that_were_let_go_come_back_from_disk_or_are_computed_again(
    order, monkeypatch, cache
):
    found = entry(order, files=FeatureFiles())
    first = found.rows(144).features
    found.release()
    calls = counted(monkeypatch)
    np.testing.assert_array_equal(found.rows(144).features, first)
    assert not calls
    found.release()
    FeatureFiles().clear()
    np.testing.assert_allclose(found.rows(144).features, first, rtol=1e-5)
    assert sum(calls) == 144


def test_a_cache_that_cannot_be_written_is_said_and_ends_nothing(order, monkeypatch):
    def full(self, key, kept):
        raise OSError(28, "No space left", "there")

    monkeypatch.setattr(FeatureFiles, "put", full)
    found = entry(order, files=FeatureFiles())
    assert len(found.rows(144).features) == 144
    assert found.not_kept == "No space left: there"
    found.release()
    assert len(found.rows(144).features) == 144


@pytest.mark.parametrize("weights", ["none", "default"])
def test_random_weights_are_the_same_after_a_release(order, weights):
    spec = "module:test_runs_picking:unseeded" if weights == "default" else PLAIN
    found = Entry(Candidate(spec, weights), 32, order, None)
    before = [np.array(each) for each in found.model.get_weights()[:-2]]
    found.release()
    for one, other in zip(found.opened().get_weights()[:-2], before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_file_of_weights_that_changes_meanwhile_is_noticed(order, tmp_path):
    file = str(tmp_path / "weights.pth")
    models = [torchvision.models.squeezenet1_1(weights=None) for _ in range(2)]
    torch.save(models[0].state_dict(), file)
    found = Entry(Candidate("torchvision:squeezenet1_1", file), 32, order, None)
    found.release()
    assert found.opened() is not None
    found.release()
    torch.save(models[1].state_dict(), file)
    with pytest.raises(ValueError, match="whose file has changed"):
        found.opened()


def test_a_fine_tuning_starts_from_the_solved_head_of_the_same_weights(order):
    found = Entry(Candidate(PLAIN, "none"), 32, order, None)
    found.measure()
    rows = found.rows(144)
    found.release()
    start = fine_tuning.SolvedStart(found, rows)
    judged = evaluate(start.model, found.data.validation, order.data.class_names)
    assert start.judged.estimate.accuracy == pytest.approx(judged.accuracy)
    assert start.judged.estimate.loss == pytest.approx(judged.loss, rel=1e-4)


# The estimates


def test_estimates_are_those_of_scikit_learn_with_the_same_folds(order):
    rows = entry(order).rows(144)
    folds = estimates.common_folds(rows.labels)
    judged = estimates.held_out(rows.features, rows.labels, folds, num_classes=3)
    (penalty,) = solve(
        Rows([rows.features], rows.labels, np.ones(144), 3), "softmax", folds
    ).penalty
    features = rows.features.astype("float64")
    deviation = features.std(0)
    scale = np.maximum(deviation, 0.3 * np.sqrt((deviation**2).mean()))
    probabilities = cross_val_predict(
        LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=5000),
        (features - features.mean(0)) / scale,
        rows.labels,
        cv=PredefinedSplit(folds),
        method="predict_proba",
    )
    found = judged.estimate
    assert found.loss == pytest.approx(log_loss(rows.labels, probabilities), rel=1e-3)
    right = probabilities.argmax(1) == rows.labels
    assert found.accuracy == pytest.approx(right.mean(), abs=1 / 144)
    interval = binomtest(int(judged.correct.sum()), 144).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_only_images_that_one_has_right_and_the_other_wrong_count():
    one = estimates.Judged(np.array([True] * 90 + [True] * 8 + [False] * 2), np.zeros(100))
    two = estimates.Judged(np.array([True] * 90 + [False] * 8 + [True] * 2), np.zeros(100))
    assert estimates.accuracy_p_value(one, two) == pytest.approx(binomtest(8, 10).pvalue)
    assert estimates.accuracy_p_value(one, one) == 1.0
    assert estimates.loss_p_value(one, two) == 1.0


def test_paired_losses_differ_by_the_spread_of_their_differences():
    draws = np.random.default_rng(0)
    losses = draws.normal(1, 1, 400)
    one = estimates.Judged(np.ones(400, bool), losses)
    two = estimates.Judged(np.ones(400, bool), losses + draws.normal(0.05, 0.1, 400))
    alike = estimates.Judged(np.ones(400, bool), losses + draws.normal(0, 1, 400))
    assert estimates.loss_p_value(one, two) < 1e-6
    assert estimates.loss_p_value(one, alike) > 0.05


def block_scores(*losses):
    names = [f"block{number}" for number in range(len(losses))]
    return [BlockScore(n, Estimate(0, 0, 0, loss)) for n, loss in zip(names, losses, strict=True)]


def test_a_middle_block_counts_where_its_loss_is_clearly_lower():
    names = [f"block{number}" for number in range(5)]
    far = block_scores(0.9, 0.8, 0.7, 0.4, 0.5)
    near = block_scores(0.9, 0.8, 0.7, 0.47, 0.5)
    assert deepest_useful(far) == "block3"
    assert deepest_useful(near) is None
    assert depths_to_try(names, far) == ["block3", "block2"]
    assert depths_to_try(names, near) == depths_to_try(names, []) == ["block2"]


def tuned(loss, accuracy, p_value, strategy="full", through=None):
    solved = Estimate(0.9, 0.8, 1.0, 0.4)
    mine = Estimate(accuracy, 0.8, 1.0, loss)
    return FineTuning(PLAIN, 32, strategy, through, 60, 60, mine, solved, p_value, 1.0)


@pytest.mark.parametrize(
    ("tunings", "useful", "expected"),
    [
        ([tuned(0.3, 0.92, 0.01)], None, ("full", None)),
        ([tuned(0.3, 0.92, 0.01), tuned(0.2, 0.95, 0.01, "partial", "b")], None, ("partial", "b")),
        ([tuned(0.3, 0.92, 0.01), tuned(0.2, 0.95, 0.2, "partial", "b")], "b", ("full", None)),
        ([tuned(0.3, 0.92, 0.2)], None, ("feature-extraction", None)),
        ([tuned(0.3, 0.92, 0.2)], "b", ("full", None)),
        ([tuned(0.3, 0.85, 0.01)], "b", ("feature-extraction", None)),
        ([tuned(0.5, 0.95, 0.01)], "b", ("feature-extraction", None)),
        ([], "b", ("partial", "b")),
        ([], None, ("feature-extraction", None)),
    ],
)
def test_fine_tunings_decide_and_where_they_are_not_clear_the_blocks(tunings, useful, expected):
    assert recommending.how_deep(tunings, useful)[:2] == expected


def scored(order, spec, standing, milliseconds):
    scores = CandidateScore(
        spec, "default", 32, 144, Estimate(0.9, 0.8, 1, 0.4), milliseconds, 10, 40, standing, 0.5
    )
    judged = estimates.Judged(np.ones(144, bool), np.zeros(144))
    return Scored(Entry(Candidate(spec), 32, order, None), judged, scores)


def tuned_to(of, loss, *, solved, scores):
    """A fine-tuning whose losses are this everywhere, and a solved head's likewise."""
    right = np.ones(50, bool)
    spread = np.linspace(-0.01, 0.01, 50)
    found = estimates.Judged(right, loss + spread)
    return fine_tuning.Tuned(of.entry, scores, found, estimates.Judged(right, np.full(50, solved)))


@pytest.mark.parametrize(
    ("loss_of_best", "solved_of_fast", "expected"),
    [(0.1, 0.5, OTHER), (0.1, 0.05, PLAIN), (0.6, 0.5, PLAIN)],
)
def test_the_best_wins_over_the_fast_only_where_fine_tuned_it_is_clearly_ahead(
    order, loss_of_best, solved_of_fast, expected
):
    fast, best = scored(order, PLAIN, WITHIN_NOISE, 1.0), scored(order, OTHER, BEST, 2.0)
    assert recommending.fastest_within_noise([best, fast]) is fast
    tunings = [
        tuned_to(fast, 9.0, solved=solved_of_fast, scores=tuned(9.0, 0.1, 0.01)),
        tuned_to(best, loss_of_best, solved=0.7, scores=tuned(loss_of_best, 0.95, 0.01)),
    ]
    options = recommending.RunOptions("digits")
    found = recommending.recommend([best, fast], fast, tunings, options)
    assert found.spec == expected


# Candidates


def specs(backbones, weights=None):
    found, left_out = candidates.choose(backbones, weights or {})
    return [each.spec for each in found], [each.spec for each in left_out]


@pytest.fixture
def only_bundled_here(monkeypatch):
    here = candidates.describe

    def describe(spec):
        info = here(spec) if spec.startswith("bundled:") else None
        return info or type("Info", (), {"weights_on_disk": False, "image_size": 224})

    monkeypatch.setattr(candidates, "describe", describe)


@pytest.mark.usefixtures("only_bundled_here")
def test_globs_take_what_is_here_and_exact_specs_are_taken_as_they_are():
    assert specs(None)[0] == list(list_backbones("bundled"))
    assert specs(["torchvision:resnet18"]) == (["torchvision:resnet18"], [])
    named, absent = specs(["torchvision:resnet1*"])
    assert named == []
    assert absent == ["torchvision:resnet18", "torchvision:resnet101", "torchvision:resnet152"]
    named, absent = specs(["torchvision:resnet1*", "torchvision:resnet18"])
    assert named == ["torchvision:resnet18"]
    assert "torchvision:resnet18" not in absent
    given = {"torchvision:resnet152": "r.pth", "keras:MobileNet?alpha=0.25": "m.h5"}
    assert set(specs(["torchvision:resnet1*"], given)[0]) == set(given)
    assert specs(["keras:MobileNet?alpha=0.25"])[0] == ["keras:MobileNet?alpha=0.25"]
    assert specs(["curated"])[0] == [each.spec for each in candidates.CURATED]


def test_a_spec_or_glob_that_names_nothing_is_refused():
    for wrong in ("torchvision:resnet19", "torchvision:nothing*"):
        with pytest.raises(ValueError, match="Unknown backbone"):
            candidates.choose([wrong], {})


def test_the_short_list_names_backbones_that_exist():
    assert {each.spec for each in candidates.CURATED} <= set(list_backbones())


# The whole

pytestmark = pytest.mark.usefixtures("few_steps")


def test_what_is_found_has_every_candidate_and_a_command(arrays):
    found = quick(arrays)
    assert {each.spec for each in found.candidates} == {PLAIN, OTHER}
    assert found.candidates[0].standing == BEST
    assert all(each.num_images == 144 for each in found.candidates)
    assert found.num_images == 144
    alike = [each for each in found.candidates if each.standing in (BEST, WITHIN_NOISE)]
    fastest = min(alike, key=lambda each: each.milliseconds)
    assert found.recommendation.spec in {fastest.spec, found.candidates[0].spec}
    assert found.recommendation.command.startswith("kerastl run --data DATA --backbone module:")
    assert "--image-size 32" in found.recommendation.command
    assert len(found.candidates[0].blocks) == 5
    tuned = found.fine_tunings[0]
    assert (tuned.strategy, tuned.steps) == ("partial", 4)
    assert {each.strategy for each in found.fine_tunings} == {"partial", "full"}
    assert 0 <= tuned.estimate.accuracy <= 1
    assert found.seconds < 60 * found.minutes * 1.5


@pytest.mark.usefixtures("no_tuning")
def test_asking_the_whole_again_computes_no_features(arrays, monkeypatch, cache):
    first = quick(arrays)
    assert len(list(cache.iterdir())) == 2
    calls = counted(monkeypatch)
    again = quick(arrays)
    assert not calls
    assert [each.estimate for each in first.candidates] == [
        each.estimate for each in again.candidates
    ]


@pytest.mark.usefixtures("no_tuning")
def test_a_candidate_that_fails_is_a_line_with_its_reason(arrays):
    found = quick(arrays, [PLAIN, "module:test_runs_picking:broken"])
    assert [each.spec for each in found.candidates] == [PLAIN]
    (line,) = [each for each in found.left_out if "broken" in each.spec]
    assert "not enough memory" in line.reason


def test_where_all_fail_it_says_why(arrays):
    with pytest.raises(ValueError, match="not enough memory"):
        quick(arrays, ["module:test_runs_picking:broken"])


def test_a_time_that_is_enough_for_nothing_is_an_error_that_says_so(arrays):
    with pytest.raises(ValueError, match="`minutes` must be enough for one backbone"):
        quick(arrays, minutes=1e-5)


@pytest.mark.usefixtures("no_tuning")
def test_without_time_to_fine_tune_the_reasons_say_so(arrays):
    found = quick(arrays, [PLAIN])
    assert not found.fine_tunings
    assert any(" steps would take" in each.reason for each in found.left_out)
    assert any("fine-tune" in reason for reason in found.recommendation.reasons)


# Output


def pick_command(pictures, folder, *more):
    arguments = ["pick", "--data", f"folder:{pictures}", "--backbones", PLAIN, "--image-size"]
    arguments += ["32", "--minutes", "1", "--output", str(folder), *more]
    return CliRunner().invoke(main, arguments)


@pytest.mark.slow
def test_the_command_writes_a_page_and_ends_with_what_to_go_on_with(pictures, tmp_path):
    done = pick_command(pictures, tmp_path / "out")
    assert done.exit_code == 0, done.output
    last = done.stdout.strip().splitlines()[-1]
    assert last.startswith(f"kerastl run --data folder:{pictures} --backbone {PLAIN}")
    values = json.loads((tmp_path / "out" / "pick.json").read_text())
    assert values["recommendation"]["command"] == last
    page = (tmp_path / "out" / "pick.html").read_text()
    assert "<svg" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert (tmp_path / "out" / "candidates.csv").read_text().count("\n") == 2
    again = pick_command(pictures, tmp_path / "out")
    assert again.exit_code == 1
    assert "`output` must not hold another search" in again.stderr
    writing.check_output(tmp_path / "out", overwrite=True)


def test_the_command_it_prints_is_one_that_run_takes():
    scores = CandidateScore(
        PLAIN, "default", 32, 10, Estimate(1, 1, 1, 0), 1.0, 10, 40, standing=BEST, p_value=1.0
    )
    for strategy, through in (("partial", "layer2"), ("full", None), ("feature-extraction", None)):
        options = recommending.RunOptions("digits", "pad", skip_broken=True, seed=3)
        command = recommending.command(scores, strategy, through, options)
        arguments = [*command.split()[1:], "--schedule", "constant", "--solver", "solve"]
        arguments[0] = "plan"
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 0, done.output
        rates = [line for line in done.stdout.splitlines() if line.startswith("layer4")]
        assert ("0.0003" in rates[0]) == (strategy != "feature-extraction")


def test_cache_says_what_is_kept_and_clears_it(cache):
    FeatureFiles().put(("key",), KeptFeatures({"features": np.zeros((3, 4))}))
    shown = CliRunner().invoke(main, ["cache"]).stdout
    assert str(cache) in shown
    assert "entries  1\n" in shown
    assert "limit    2,000.0 MB" in shown
    assert "Removed 1 entries" in CliRunner().invoke(main, ["cache", "--clear"]).stdout
    assert not list(cache.iterdir())


def test_weights_of_a_spec_with_arguments_split_at_the_last_equals_sign():
    from kerastl.commands.pick import SpecWeights

    spec, file = SpecWeights().convert("keras:MobileNet?alpha=0.25=a/b.h5", None, None)
    assert (spec, file) == ("keras:MobileNet?alpha=0.25", "a/b.h5")
    done = CliRunner().invoke(main, ["pick", "--data", "digits", "--weights", "nothing"])
    assert done.exit_code == 2
    assert "is not SPEC=FILE" in done.stderr


@pytest.mark.slow
def test_four_networks_on_digits_within_three_minutes(mobilenet_file, tmp_path, monkeypatch):
    monkeypatch.undo()  # as many steps as in earnest
    monkeypatch.setenv("KERASTL_CACHE", str(tmp_path / "cache"))
    found = kerastl.pick(
        "digits",
        ["bundled:efficientnet_lite0"],
        3,
        weights={
            "keras:MobileNet?alpha=0.25": str(mobilenet_file),
            "torchvision:resnet18": "none",
            "torchvision:mobilenet_v3_small": "none",
        },
    )
    assert found.seconds < 200
    assert len({each.spec for each in found.candidates}) == 4
    assert found.candidates[0].estimate.accuracy > 0.9
    assert found.fine_tunings
    writing.write(found, tmp_path)
    assert DROPPED not in {each.standing for each in found.candidates[:2]}
