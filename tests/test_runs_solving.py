"""Whole runs whose head is solved."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_runs import Killed, at_epoch, finished, interrupt, kill_and_resume, quiet

import kerastl
from kerastl.evaluation import run_record as results
from kerastl.runs import config_file, training
from kerastl.runs.config import RunConfig
from kerastl.runs.training import evidence, phase_loop


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """Two classes of forty noisy images each, of which some are hard to tell."""
    folder = tmp_path_factory.mktemp("noisy")
    draws = np.random.default_rng(0)
    for name, level in (("dark", 110), ("light", 130)):
        (folder / name).mkdir()
        for number in range(40):
            shift = level + draws.normal() * 12
            pixels = np.clip(draws.normal(size=(32, 32, 3)) * 30 + shift, 0, 255)
            Image.fromarray(pixels.astype("uint8")).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture
def config(noisy, tmp_path):
    return RunConfig(
        data=f"folder:{noisy}",
        backbone="keras:MobileNet?alpha=0.25",
        weights="none",
        image_size=32,
        workers=0,
        output=str(tmp_path / "run"),
    )


def lines_of(config, **options):
    lines = []
    measured = training.run(config, echo=lines.append, **options)
    return lines, measured


def test_feature_extraction_solves_the_head_on_all_images_but_the_test(config):
    config = replace(config, strategy="feature-extraction")
    lines, measured = lines_of(config)
    folder = Path(config.output)
    assert "Head solved to convergence, its penalty chosen by folds" in lines
    assert measured.head["images"] == 64
    assert measured.num_images("train") == measured.num_images("out_of_fold") == 64
    assert not measured.validation
    assert 0.5 < measured.out_of_fold["accuracy"] <= 1
    low, high = measured.intervals["out_of_fold"]["accuracy"]
    assert low <= measured.out_of_fold["accuracy"] <= high
    assert measured.epochs == 0
    (row,) = results.load_history(folder)
    assert row["epoch"] == 0
    assert row["out_of_fold_accuracy"] == measured.out_of_fold["accuracy"]
    with (folder / results.OUT_OF_FOLD_FILE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["image"] for row in rows}) == 64
    right = np.mean([row["class"] == row["predicted"] for row in rows])
    assert right == pytest.approx(measured.out_of_fold["accuracy"])
    assert not (folder / results.CHECKPOINT_FILE).exists()
    saved = kerastl.load_model(folder / results.MODEL_FILE)
    assert saved.task == "classification"


def test_the_config_of_a_solved_run_repeats_it(config, tmp_path):
    config = replace(config, strategy="feature-extraction")
    _, first = lines_of(config)
    values = config_file.read(Path(config.output) / results.CONFIG_FILE)
    assert values["solver"] == "solve"
    _, second = lines_of(RunConfig(**{**values, "output": str(tmp_path / "again")}))
    assert second.test == first.test
    assert second.out_of_fold == first.out_of_fold


def test_without_a_test_part_the_report_is_of_the_images_out_of_fold(config):
    config = replace(config, strategy="feature-extraction", test_split=0.0)
    _, measured = lines_of(config)
    page = (Path(config.output) / "report.html").read_text(encoding="utf-8")
    accuracy = measured.out_of_fold["accuracy"]
    assert "out of fold accuracy" in page
    assert f"{100 * accuracy:.2f} %" in page
    assert measured.num_images("out_of_fold") == 80


@pytest.mark.parametrize("validation_split", [0.2, 0.0])
def test_a_solved_run_is_calibrated_out_of_fold(config, validation_split):
    config = replace(
        config,
        strategy="feature-extraction",
        calibrate=True,
        validation_split=validation_split,
    )
    lines, _ = lines_of(config)
    assert any("calibration error out of fold" in line for line in lines)
    assert (
        kerastl.load_model(Path(config.output) / results.MODEL_FILE).get_layer("head").temperature
        != 1.0
    )


def test_what_is_trained_is_calibrated_on_validation_images_alone(config):
    config = replace(config, strategy="partial", calibrate=True, validation_split=0.0)
    with pytest.raises(ValueError, match="`calibrate` must have validation images"):
        lines_of(config)


def test_partial_starts_from_the_head_solved_on_the_training_part(config):
    config = replace(config, strategy="partial", solver="solve", epochs=2)
    lines, measured = lines_of(config)
    assert any(line.startswith("Head solved on 48 images") for line in lines)
    start, *epochs = results.load_history(Path(config.output))
    assert (start["epoch"], len(epochs)) == (0, 2)
    assert set(start) == {"epoch", "loss", "accuracy", "val_loss", "val_accuracy"}
    assert measured.epochs == 2
    assert measured.num_images("train") == 48
    saved = config_file.read(Path(config.output) / results.CONFIG_FILE)
    assert (saved["batch_norm"], saved["batch_size"]) == ("frozen", 16)


@pytest.mark.slow
def test_gradual_from_a_solved_head_has_no_phase_for_the_head_alone(config):
    config = replace(config, strategy="gradual", solver="solve", epochs=4)
    lines, _ = lines_of(config)
    assert "Trained head" not in lines
    assert sum(line.startswith("Phase ") for line in lines) == 4


@pytest.mark.slow
def test_fine_tuning_that_is_no_better_than_its_start_gives_the_solved_head(config, monkeypatch):
    config = replace(config, strategy="full", solver="solve", epochs=2, keep_start=True)
    monkeypatch.setattr(phase_loop.Training, "_is_better_than_start", lambda self: False)
    lines, measured = lines_of(config)
    assert "Fine-tuning was no better on the validation images than the solved head" in lines
    assert measured.head["images"] == 64
    assert measured.epochs == 2
    assert not measured.validation
    _, alone = lines_of(
        replace(config, strategy="feature-extraction", epochs=None, output=config.output + "2")
    )
    assert measured.test == pytest.approx(alone.test, abs=1e-6)


def test_auto_settles_by_the_evidence_and_writes_what_it_settled(config, monkeypatch):
    monkeypatch.setattr(evidence, "choice", lambda found: ("partial", "partial: so it is."))
    monkeypatch.setattr("kerastl.runs.solver.FINE_TUNING_STEPS", 2)
    monkeypatch.setattr("kerastl.runs.solver.FINE_TUNING_EPOCHS", 2)
    lines, measured = lines_of(config)
    assert "Strategy partial: so it is." in lines
    assert measured.strategy == "partial: so it is."
    saved = config_file.read(Path(config.output) / results.CONFIG_FILE)
    assert (saved["strategy"], saved["solver"], saved["keep_start"]) == ("partial", "solve", True)
    assert saved["epochs"] == 2


@pytest.mark.slow
def test_auto_without_validation_images_only_solves(config):
    config = replace(config, validation_split=0.0)
    lines, measured = lines_of(config)
    assert measured.epochs == 0
    assert any("only the head is solved" in line for line in lines)


@pytest.mark.parametrize(
    "options",
    [
        {"augment": "light", "mixup": 0.2},
        {"class_weight": "balanced"},
        pytest.param(
            {"sampling": "balanced", "augment": "light", "cache_views": 2}, marks=pytest.mark.slow
        ),
        pytest.param({"label_smoothing": 0.1, "solver": "solve"}, marks=pytest.mark.slow),
    ],
)
def test_a_head_is_solved_with_the_options_of_training_images(config, options):
    config = replace(config, strategy="feature-extraction", **options)
    _, measured = lines_of(config)
    assert measured.head["solver"] == "solve"
    assert measured.test["accuracy"] >= 0.4


@pytest.mark.slow
def test_a_run_that_was_killed_after_its_head_was_solved_goes_on_from_there(
    config, tmp_path, monkeypatch
):
    config = replace(
        config, strategy="full", solver="solve", epochs=3, keep_start=True, optimizer="sgd"
    )
    whole = replace(config, output=str(tmp_path / "whole"))
    training.run(whole, echo=quiet)
    killed = replace(config, output=str(tmp_path / "killed"))
    checkpoint = kill_and_resume(killed, monkeypatch, [2, 4])
    assert checkpoint.progress.start is not None
    assert checkpoint.start_weights is not None
    expected_history, expected_weights, expected_test = finished(tmp_path / "whole")
    history, weights, test = finished(tmp_path / "killed")
    assert history == expected_history
    assert test == expected_test
    for one, other in zip(weights, expected_weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_run_stopped_in_its_first_epoch_keeps_the_solved_head(config, monkeypatch):
    config = replace(config, strategy="full", solver="solve", epochs=2)
    at_epoch(monkeypatch, 0, interrupt)
    _, measured = lines_of(config)
    assert not measured.completed
    assert "with its solved head" in training.stopped_sentence(config, measured)
    assert (Path(config.output) / results.MODEL_FILE).is_file()


@pytest.mark.slow
def test_a_head_that_is_being_solved_leaves_an_older_run_whole(config, monkeypatch):
    config = replace(config, strategy="feature-extraction")
    lines_of(config)
    before = json.loads((Path(config.output) / results.METRICS_FILE).read_text())

    def killed(prepared):
        raise Killed

    monkeypatch.setattr(phase_loop, "solve_on_all", killed)
    with pytest.raises(Killed):
        training.run(config, echo=quiet, overwrite=True)
    assert json.loads((Path(config.output) / results.METRICS_FILE).read_text()) == before


@pytest.mark.slow
def test_a_run_that_replaces_a_solved_one_leaves_none_of_its_files(config):
    lines_of(replace(config, strategy="feature-extraction"))
    lines_of(replace(config, strategy="full", epochs=1), overwrite=True)
    assert not (Path(config.output) / results.OUT_OF_FOLD_FILE).exists()


def test_compare_trains_what_it_compares(config):
    from kerastl.runs.comparison.compare import compare

    with pytest.raises(ValueError, match="`solver` must be train for a comparison"):
        compare(replace(config, solver="solve"), ["torch", "jax"], echo=quiet)
