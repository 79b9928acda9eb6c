"""`kerastl evaluate A B`: two models on the same images."""

import re

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from small_runs import write_pictures

import kerastl
from kerastl.commands import main
from kerastl.evaluation import paired, scoring
from kerastl.evaluation import run_record as results
from kerastl.runs import config_file
from kerastl.runs.config import RunConfig

BACKBONE = "keras:MobileNet?alpha=0.25"
NAMES = ("dark", "light")


def evaluate(*arguments):
    return CliRunner().invoke(main, ["evaluate", *map(str, arguments)])


def model(seed, *, names=NAMES, **options):
    keras.utils.set_random_seed(seed)
    return kerastl.ImageClassifier(
        BACKBONE, len(names), weights=None, image_size=32, class_names=names, **options
    )


def run_folder(folder, saved, **options):
    """What a run leaves, as far as `evaluate` reads it."""
    folder.mkdir()
    saved.save(folder / results.MODEL_FILE)
    text = config_file.to_toml(RunConfig(**{"workers": 0, **options}), folder)
    (folder / results.CONFIG_FILE).write_text(text)
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("pictures"), per_class=10, size=32)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, pictures):
    """Two runs of the same data, and of the same split."""
    folder = tmp_path_factory.mktemp("runs")
    return [run_folder(folder / f"{n}", model(n), data=f"folder:{pictures}") for n in range(2)]


def test_both_scores_their_difference_and_one_sentence_are_printed(runs, pictures):
    files = [folder / results.MODEL_FILE for folder in runs]
    done = evaluate(*files, "--data", f"folder:{pictures}")
    assert done.exit_code == 0, done.output
    data = kerastl.load_data(
        f"folder:{pictures}", image_size=32, validation_split=0.0, test_split=0.0, num_workers=0
    )
    scores = [
        scoring.evaluate(kerastl.load_model(file), data.in_order("train"), NAMES) for file in files
    ]
    found = paired.compare(*scores)
    lines = done.stdout.splitlines()
    assert lines[0].endswith("all images (the data has no test part): 20 images")
    for line, letter, value in zip(lines[2:4], "AB", found.values, strict=True):
        assert line.startswith(f"{letter}: ")
        assert f" {value:.4f} " in line
    assert re.match(rf"B - A +\{found.difference:+.4f} +-?\d", lines[4])
    only_a, only_b = found.only_right
    assert lines[6] == f"Only A was right on {only_a} images, only B on {only_b}."
    assert lines[7] == found.sentence("A", "B")
    assert "exact McNemar test, p = " in lines[7]


def test_two_runs_are_compared_on_the_test_part_that_they_share(runs):
    done = evaluate(*runs)
    assert done.exit_code == 0, done.output
    assert "test part: 4 images" in done.stdout


def test_a_run_and_a_file_are_compared_on_the_test_part_of_the_run(runs, pictures):
    file = runs[1] / results.MODEL_FILE
    for models in ((runs[0], file), (file, runs[0])):
        done = evaluate(*models, "--data", f"folder:{pictures}")
        assert "test part: 4 images" in done.stdout, done.output


def test_files_and_a_report_need_more_or_less_to_be_said(runs):
    done = evaluate(*(folder / results.MODEL_FILE for folder in runs))
    assert (done.exit_code, "Say which images: --data SPEC" in done.stderr) == (2, True)
    done = evaluate(*runs, "--report")
    assert (done.exit_code, "--report is for one model" in done.stderr) == (2, True)


def test_runs_of_other_data_or_of_another_split_are_refused(runs, pictures, tmp_path):
    other = run_folder(tmp_path / "other", model(2), data="digits")
    done = evaluate(runs[0], other)
    assert done.exit_code == 1
    assert "`other` must be a run of the data of `model`" in done.stderr
    seed = run_folder(tmp_path / "seed", model(2), data=f"folder:{pictures}", seed=1)
    for given in ((), ("--data", f"folder:{pictures}")):
        done = evaluate(runs[0], seed, *given)
        assert done.exit_code == 1
        assert "seed=1, so one was trained on images that the other is tested on" in done.stderr


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("dark", "grey"), "only in `model`: light; only in `other`: grey. Compare"),
        (("light", "dark"), "in its order. Received: the same in another order."),
        (
            ("dark", "grey", "light"),
            "2 classes of `model`, in its order. Received: only in `other`",
        ),
    ],
)
def test_models_of_other_classes_are_refused(runs, pictures, tmp_path, names, message):
    other = run_folder(tmp_path / "other", model(2, names=names), data=f"folder:{pictures}")
    done = evaluate(runs[0], other)
    assert done.exit_code == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_models_of_numbers_are_compared_by_a_paired_bootstrap(pictures, tmp_path):
    rows = [f"{path},{path.parent.name == 'light':d}" for path in sorted(pictures.rglob("*.png"))]
    (tmp_path / "table.csv").write_text("\n".join(["path,bright", *rows]))
    data = f"csv:{tmp_path / 'table.csv'}?label=bright"
    good, bad = (model(3, names=("bright",), task="regression") for _ in range(2))
    for one, bias in ((good, 0.5), (bad, 40.0)):
        weights = one.get_layer("head").get_weights()
        one.get_layer("head").set_weights([np.zeros_like(weights[0]), np.full(1, bias)])
    runs = [
        run_folder(tmp_path / name, one, data=data, task="regression", validation_split=0.2)
        for name, one in (("good", good), ("bad", bad))
    ]
    done = evaluate(*runs, "--data", data)
    assert done.exit_code == 0, done.output
    assert "mean_absolute_error" in done.stdout
    options = {"image_size": 32, "num_workers": 0, "task": "regression"}
    bright = kerastl.load_data(data, **options).labels("test")
    expected = np.mean(np.abs(40 - bright) - np.abs(0.5 - bright))
    assert f"B - A +{expected:.4f}" in " ".join(done.stdout.split())
    assert "A is better by more than the noise (paired bootstrap, p = 0.0020)." in done.stdout
    assert "Only A was right" not in done.stdout
    done = evaluate(runs[0], runs[0])
    assert "The difference is less than the noise" in done.stdout


def test_models_of_other_tasks_are_refused(runs, pictures, tmp_path):
    other = run_folder(tmp_path / "other", model(2, task="multi-label"), data=f"folder:{pictures}")
    done = evaluate(runs[0], other)
    assert "`other` must have the task of `model`, classification. Received: multi-" in done.stderr
