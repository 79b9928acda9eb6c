"""Several labels per image, and numbers to predict: from the data to the saved model."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from sklearn import metrics

import kerastl
from kerastl.commands import main
from kerastl.errors import UnknownNameError
from kerastl.evaluation import run_record as results
from kerastl.evaluation import scoring
from kerastl.evaluation.scores import MultiLabelEvaluation, RegressionEvaluation

RNG = np.random.default_rng(0)
QUICK = ("--backbone", "keras:MobileNet?alpha=0.25", "--weights", "none", "--image-size", "32")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Forty pictures: labels say which colours are bright, a number how bright red is."""
    folder = tmp_path_factory.mktemp("table")
    random = np.random.default_rng(1)
    lines = ["path,tags,red"]
    for number in range(40):
        bright = random.random(3) < 0.5
        noise = random.integers(-15, 16, (32, 32, 3))  # copies are held out together
        pixels = (np.where(bright, 230, 20) + noise).astype("uint8")
        Image.fromarray(pixels).save(folder / f"{number}.png")
        names = [name for name, is_on in zip(("r", "g", "b"), bright, strict=True) if is_on]
        lines.append(f"{number}.png,{';'.join(names)},{float(bright[0])}")
    (folder / "table.csv").write_text("\n".join(lines))
    return f"csv:{folder / 'table.csv'}"


def kerastl_says(*arguments):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize(
    ("flag", "column", "score"),
    [
        ("--multi-label", "tags", "mean_average_precision"),
        pytest.param("--regression", "red", "r2", marks=pytest.mark.slow),
    ],
)
def test_a_run_is_trained_evaluated_and_predicted_with(table, tmp_path, flag, column, score):
    folder = tmp_path / "run"
    options = ("--data", f"{table}?label={column}", flag, "--epochs", "2", "--augment", "light")
    said = kerastl_says("run", *QUICK, *options, "--workers", "0", "--output", folder)
    assert score in said
    measured = results.load_metrics(folder).test
    low, high = results.load_metrics(folder).intervals["test"][score]
    assert low <= measured[score] <= high
    assert f"{score} {measured[score]:.4f}" in kerastl_says("evaluate", folder)
    picture = next((tmp_path.parent / table.removeprefix("csv:")).parent.glob("*.png"))
    (line,) = kerastl_says("predict", folder, picture, "--json").splitlines()
    predictions = json.loads(line)["predictions"]
    model = kerastl.load_model(folder / results.MODEL_FILE)
    assert model.task == flag.removeprefix("--")
    outputs = model.predict(np.asarray(Image.open(picture))[None], verbose=0)[0]
    if flag == "--regression":
        assert predictions == [{"name": "red", "value": pytest.approx(float(outputs[0]))}]
    else:
        named = dict(zip(model.class_names, outputs.tolist(), strict=True))
        assert {one["class"]: pytest.approx(one["probability"]) for one in predictions} == named
        assert ((outputs > 0) & (outputs < 1)).all()


@pytest.mark.parametrize(
    ("flag", "column", "score", "least"),
    [("--multi-label", "tags", "mean_average_precision", 0.9), ("--regression", "red", "r2", 0.5)],
)
@pytest.mark.parametrize(
    "strategy", [pytest.param("auto", marks=pytest.mark.slow), "feature-extraction"]
)
def test_a_head_of_several_labels_or_numbers_is_solved(
    table, tmp_path, monkeypatch, flag, column, score, least, strategy
):
    monkeypatch.setattr("kerastl.runs.solver.FINE_TUNING_STEPS", 4)
    monkeypatch.setattr("kerastl.runs.solver.FINE_TUNING_EPOCHS", 2)
    folder = tmp_path / "run"
    data = ("--data", f"{table}?label={column}", flag, "--strategy", strategy)
    said = kerastl_says("run", *QUICK, *data, "--workers", "0", "--output", folder)
    measured = results.load_metrics(folder)
    assert measured.head["solver"] == "solve"
    if strategy == "feature-extraction":
        assert "out of fold" in said
        assert measured.out_of_fold[score] > least
        low, high = measured.intervals["out_of_fold"][score]
        assert low <= measured.out_of_fold[score] <= high
        rows = (folder / results.OUT_OF_FOLD_FILE).read_text().splitlines()
        assert len(rows) == 1 + measured.head["images"]
        assert rows[0].startswith("image,true ")


def test_a_regression_gives_numbers_of_any_size_and_learns_them():
    images = RNG.integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)
    numbers = np.stack([np.linspace(-300, 500, 16), np.linspace(5, -5, 16)], 1).astype("float32")
    model = kerastl.ImageClassifier(
        "keras:MobileNet?alpha=0.25", 2, weights=None, image_size=32, task="regression"
    )
    model.compile("adam", learning_rate=0.01)
    history = model.fit(images, numbers, epochs=3, verbose=0).history
    assert {"loss", "mean_absolute_error"} <= set(history)
    assert history["loss"][0] == pytest.approx(np.square(numbers).mean(), rel=0.2)


def test_scores_of_several_labels_are_scikit_learns():
    labels = (RNG.random((30, 3)) < 0.4).astype("float32")
    labels[:, 2] = 0
    given = RNG.random((30, 3)).astype("float32")
    found = MultiLabelEvaluation(("a", "b", "c"), labels, given)
    expected = metrics.average_precision_score(labels[:, :2], given[:, :2], average="macro")
    assert found.scores["mean_average_precision"] == pytest.approx(expected)
    loss = np.mean([metrics.log_loss(labels[:, k], given[:, k], labels=[0, 1]) for k in range(3)])
    assert found.loss == pytest.approx(loss, rel=1e-5)
    assert len(found.report().splitlines()) == 4


def test_scores_of_numbers_are_scikit_learns():
    truth, given = RNG.normal(size=(20, 2)), RNG.normal(size=(20, 2))
    found = RegressionEvaluation(("x", "y"), truth, given).scores
    assert found["r2"] == pytest.approx(metrics.r2_score(truth, given))
    assert found["root_mean_squared_error"] == pytest.approx(
        metrics.root_mean_squared_error(truth.ravel(), given.ravel())
    )


def test_evaluation_follows_the_models_task():
    model = kerastl.ImageClassifier(
        "keras:MobileNet?alpha=0.25", 3, weights=None, image_size=32, task="multi-label"
    )
    images, labels = np.zeros((4, 32, 32, 3), "uint8"), np.eye(3)[[0, 1, 2, 0]]
    found = scoring.evaluate(model, [(images, labels)], ("a", "b", "c"))
    assert isinstance(found, MultiLabelEvaluation)


def test_an_unknown_task_is_named_with_those_that_there_are():
    with pytest.raises(UnknownNameError, match="Tasks: classification, multi-label, regression"):
        kerastl.ImageClassifier("keras:MobileNet?alpha=0.25", 2, weights=None, task="multilabel")


def test_options_that_a_task_cannot_take_are_refused(table, tmp_path):
    for options, code, message in (
        (("--multi-label", "--regression"), 2, "--multi-label and --regression name different"),
        (("--task", "regression", "--multi-label"), 2, "name different tasks. Leave one out."),
        (("--multi-label", "--class-weight", "balanced"), 1, "`class_weight` must be left out"),
        (("--regression", "--focal", "2"), 1, "`label_smoothing` and `focal` must be left out"),
    ):
        arguments = ("run", *QUICK, "--data", f"{table}?label=red", *options)
        result = CliRunner().invoke(main, [*arguments, "--output", str(tmp_path / "run")])
        assert result.exit_code == code
        assert message in result.stderr
