"""`--folds`: each image is judged by a run without it, and the model that is kept has seen all."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_runs import Killed, at_epoch, interrupt, killed_at, quiet

import kerastl
from kerastl.errors import DamagedFileError
from kerastl.evaluation import run_record as results
from kerastl.runs import training
from kerastl.runs.folds import files
from kerastl.runs.training import solving
from kerastl.solving.folds import fold_numbers

TRAINED = {
    "backbone": "module:small_models:tiny_resnet",
    "strategy": "partial",
    "solver": "train",
    "folds": 2,
    "epochs": 2,
}


@pytest.fixture(autouse=True)
def without_report(request, monkeypatch):
    """A page of pictures is most of the time of so small a run."""
    if "report" not in request.node.name:
        monkeypatch.setattr(training.running, "write_report", lambda *given, **named: None)


@pytest.fixture
def trained(config):
    return replace(config, **TRAINED)


def rows_of(folder):
    with (Path(folder) / results.OUT_OF_FOLD_FILE).open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_image_but_the_test_is_judged_once_and_trained_on_in_the_end(trained, tmp_path):
    lines = []
    measured = training.run(trained, echo=lines.append)
    folder = tmp_path / "run"
    assert measured.images == {"train": 16, "validation": 0, "test": 4}
    assert measured.num_images("out_of_fold") == len(rows_of(folder)) == 16
    assert len({row["image"] for row in rows_of(folder)}) == 16
    right = np.mean([row["class"] == row["predicted"] for row in rows_of(folder)])
    assert measured.out_of_fold["accuracy"] == pytest.approx(right)
    saved = json.loads((folder / results.METRICS_FILE).read_text())
    assert saved["folds"]["count"] == 2
    scores = [fold["accuracy"] for fold in saved["folds"]["scores"]]
    assert saved["folds"]["mean"]["accuracy"] == pytest.approx(np.mean(scores))
    assert saved["folds"]["spread"]["accuracy"] == pytest.approx(np.std(scores, ddof=1))
    low, high = saved["intervals"]["out_of_fold"]["accuracy"]
    assert low <= right <= high
    for fold in (1, 2):
        left = {path.name for path in (folder / "folds" / str(fold)).iterdir()}
        assert left == {
            "config.toml",
            "history.csv",
            "metrics.json",
            "predictions.npz",
            "split.csv",
        }
    assert not (folder / results.CHECKPOINT_FILE).exists()
    assert kerastl.load_model(folder / results.MODEL_FILE, safe_mode=False).class_names == (
        "dark",
        "light",
    )
    assert "Fold 2 of 2" in lines
    assert len(results.load_history(folder)) == 2


@pytest.mark.slow
def test_the_report_is_of_the_images_out_of_fold_where_there_is_no_test(trained, tmp_path):
    training.run(replace(trained, epochs=1, test_split=0), echo=quiet)
    page = (tmp_path / "run" / results.REPORT_FILE).read_text()
    assert "judged by a model that was trained without it" in page
    assert "out of fold" in (tmp_path / "run" / results.CARD_FILE).read_text()


def test_a_solved_head_has_as_many_folds_as_asked(config, tmp_path):
    solved = {"backbone": TRAINED["backbone"], "solver": "solve", "epochs": None, "folds": 4}
    measured = training.run(replace(config, **solved), echo=quiet)
    assert measured.folds["count"] == measured.head["folds"] == 4
    assert len(measured.folds["scores"]) == 4
    assert len(rows_of(tmp_path / "run")) == 16
    assert not (tmp_path / "run" / "folds").exists()


@pytest.mark.slow
def test_a_class_of_one_image_is_said_to_be_never_held_out(trained, tmp_path):
    from PIL import Image

    pictures = tmp_path / "pictures"
    for name, count in (("dark", 6), ("light", 6), ("rare", 1)):
        (pictures / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.full((32, 32, 3), 20 * len(name) + number, "uint8")
            Image.fromarray(pixels).save(pictures / name / f"{number}.png")
    lines = []
    measured = training.run(
        replace(
            trained,
            data=f"folder:{pictures}",
            epochs=1,
            validation_split=0,
            test_split=0,
            class_weight="balanced",
            sampling="balanced",
            augment="light",
        ),
        echo=lines.append,
    )
    assert any(line.startswith("Smaller than the 2 folds: 'rare' (1)") for line in lines)
    assert measured.images["train"] == 13
    assert measured.num_images("out_of_fold") == 12
    assert "rare" not in {row["class"] for row in rows_of(tmp_path / "run")}


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([3, 3], id="within a fold and between folds", marks=pytest.mark.slow),
        pytest.param([5, 6], id="between folds and in the last run", marks=pytest.mark.slow),
    ],
)
def test_a_run_that_is_killed_ends_with_the_same_predictions(trained, tmp_path, monkeypatch, steps):
    whole = replace(trained, output=str(tmp_path / "whole"))
    expected = training.run(whole, echo=quiet)
    killed = replace(trained, output=str(tmp_path / "killed"))
    with monkeypatch.context() as patch:
        again = killed_at(patch, steps)
        with pytest.raises(Killed):
            training.run(killed, echo=quiet)
        for _ in steps[1:]:
            again()
            resumed, checkpoint = training.to_resume(tmp_path / "killed", safe_mode=False)
            with pytest.raises(Killed):
                training.run(resumed, echo=quiet, resume=checkpoint)
    finished_before = list((tmp_path / "killed" / "folds").glob("*/metrics.json"))
    resumed, checkpoint = training.to_resume(tmp_path / "killed", safe_mode=False)
    lines = []
    measured = training.run(resumed, echo=lines.append, resume=checkpoint)
    assert sum(line.startswith("Fold ") for line in lines) == 2 - len(finished_before)
    for row, other in zip(rows_of(tmp_path / "killed"), rows_of(tmp_path / "whole"), strict=True):
        assert (row["image"], row["predicted"]) == (other["image"], other["predicted"])
        for name in ("probability of dark", "probability of light"):
            assert float(row[name]) == pytest.approx(float(other[name]), rel=1e-5)
    assert measured.folds["mean"] == pytest.approx(expected.folds["mean"], rel=1e-5)
    models = [
        kerastl.load_model(tmp_path / name / results.MODEL_FILE, safe_mode=False).get_weights()
        for name in ("killed", "whole")
    ]
    for weight, other in zip(*models, strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-5, atol=1e-6)


def test_ctrl_c_in_a_fold_says_how_to_go_on(trained, tmp_path, monkeypatch):
    at_epoch(monkeypatch, 0, interrupt)
    measured = training.run(trained, echo=quiet)
    sentence = training.stopped_sentence(trained, measured)
    assert "0 finished folds of 2" in sentence
    assert "--resume" in sentence
    resumed, _ = training.to_resume(tmp_path / "run", safe_mode=False)
    assert resumed.folds == 2


def test_images_that_have_changed_since_are_refused(trained, tmp_path, monkeypatch):
    import shutil

    shutil.copytree(trained.data.removeprefix("folder:"), tmp_path / "pictures")
    trained = replace(trained, data=f"folder:{tmp_path / 'pictures'}")
    with monkeypatch.context() as patch:
        at_epoch(patch, 1, interrupt)
        training.run(trained, echo=quiet)
    for file in (tmp_path / "pictures" / "dark").iterdir():
        Image.fromarray(np.full((16, 16, 3), 99, "uint8")).save(file)
    resumed, checkpoint = training.to_resume(tmp_path / "run", safe_mode=False)
    with pytest.raises(ValueError, match="`data` must be what it was when the run began"):
        training.run(resumed, echo=quiet, resume=checkpoint)


def test_what_an_older_runs_folds_have_left_goes_and_nothing_else(tmp_path):
    older = files.fold_folder(tmp_path, 6)
    older.mkdir(parents=True)
    (older / results.METRICS_FILE).write_text("{}")
    mine = older.parent / "notes"
    mine.mkdir()
    files.remove_folds(tmp_path)
    assert not older.exists()
    assert mine.exists()


def test_a_fold_is_held_out_of_its_run_and_its_validation(trained, tmp_path, monkeypatch):
    seen = []
    original = training.running.Training

    class Watched(original):
        def __init__(self, prepared, *arguments):
            super().__init__(prepared, *arguments)
            data = prepared.data
            parts = {part: size and set(data.names(part)) for part, size in data.sizes.items()}
            seen.append((prepared.config, parts))

    monkeypatch.setattr(training.running, "Training", Watched)
    options = {"keep_best": "loss", "patience": 1, "epochs": 3, "test_split": 0.2}
    training.run(replace(trained, **options), echo=quiet)
    *folds, (final_config, final) = seen
    held_out = [parts["test"] for _, parts in folds]
    assert not held_out[0] & held_out[1]
    for _, parts in folds:
        assert len(parts["validation"]) == 2
        assert not parts["test"] & (parts["train"] | parts["validation"])
        assert len(parts["train"]) == 6
    assert final["train"] == held_out[0] | held_out[1]
    assert not final["validation"]
    assert not final["test"] & final["train"]
    assert (final_config.keep_best, final_config.patience) == (None, None)
    text = (tmp_path / "run" / results.CONFIG_FILE).read_text()
    assert 'keep_best = "loss"' in text
    assert "folds = 2" in text


@pytest.mark.parametrize("solver", ["solve", pytest.param("train", marks=pytest.mark.slow)])
def test_groups_of_a_table_are_never_split(trained, tmp_path, solver, monkeypatch):
    from PIL import Image

    lines, group_of = ["path,label,patient"], {}
    for number in range(24):
        pixels = np.full((32, 32, 3), 10 * number, "uint8")
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,{'ab'[number % 2]},{number // 3}")
        group_of[f"{number}.png"] = number // 3
    (tmp_path / "table.csv").write_text("\n".join(lines))
    options = {
        "data": f"csv:{tmp_path / 'table.csv'}?group=patient",
        "solver": solver,
        "strategy": "partial" if solver == "train" else "feature-extraction",
        "epochs": 1 if solver == "train" else None,
        "keep_best": "loss" if solver == "train" else None,
        "test_split": 0.25,
        "folds": 3,
    }
    seen = []
    original = training.running._test
    monkeypatch.setattr(
        training.running, "_test", lambda prepared: seen.append(prepared.data) or original(prepared)
    )
    heads = []
    solve = solving.solve_rows
    monkeypatch.setattr(
        solving,
        "solve_rows",
        lambda *given, **named: heads.append(solve(*given, **named)) or heads[-1],
    )
    measured = training.run(replace(trained, **options), echo=quiet)
    assert measured.folds["count"] == 3
    for head in heads:
        patients = np.concatenate([seen[0].dataset(p).groups for p in ("train", "validation")])
        for patient in set(patients):
            assert len(set(head.fold_of_image[patients == patient])) == 1
    assert len(seen) == (4 if solver == "train" else 1)
    for data in seen:
        parts = [set(data.dataset(p).groups) for p, size in data.sizes.items() if size]
        assert len(set().union(*parts)) == sum(map(len, parts))


def test_folds_of_a_run_are_those_of_a_solved_head():
    from kerastl.runs.folds.cutting import folds_of

    data = kerastl.load_data("digits", image_size=8, num_workers=0)
    folds = folds_of(data, folds=3, seed=5)
    labels = np.concatenate([data.labels("train"), data.labels("validation")])
    np.testing.assert_array_equal(folds.of_image, fold_numbers(labels, 1438, folds=3, seed=5))


@pytest.mark.slow
def test_fine_tuning_that_most_folds_did_without_is_left_out_in_the_end(
    trained, tmp_path, monkeypatch
):
    monkeypatch.setattr(training.running.Training, "_is_better_than_start", lambda self: False)
    options = {"solver": "solve", "keep_start": True, "epochs": 1}
    measured = training.run(replace(trained, **options), echo=quiet)
    assert measured.strategy.startswith("feature-extraction: fine-tuning was no better")
    assert "in 2 of 2 folds" in measured.strategy
    assert measured.epochs == 0
    assert measured.num_images("train") == measured.num_images("out_of_fold") == 16
    assert 'strategy = "partial"' in (tmp_path / "run" / results.CONFIG_FILE).read_text()


@pytest.mark.slow
def test_a_strategy_that_was_left_to_the_evidence_is_settled_before_the_folds(
    trained, tmp_path, monkeypatch
):
    reason = "partial: for this test."
    monkeypatch.setattr(training.running.evidence, "choice", lambda found: ("partial", reason))
    options = {"solver": "auto", "strategy": "auto", "epochs": None, "test_split": 0.0}
    config = replace(trained, **options)
    with monkeypatch.context() as patch:
        at_epoch(patch, 2, interrupt)
        assert not training.run(config, echo=quiet).completed
    resumed, checkpoint = training.to_resume(tmp_path / "run", safe_mode=False)
    assert (resumed.strategy, resumed.keep_start, resumed.folds) == ("partial", True, 2)
    measured = training.run(resumed, echo=quiet, resume=checkpoint)
    assert measured.completed
    assert measured.num_images("out_of_fold") == 20


@pytest.mark.slow
def test_phases_and_calibration_go_on_in_folds(trained, tmp_path):
    options = {"strategy": "gradual", "epochs": 3, "calibrate": True}
    lines = []
    measured = training.run(replace(trained, **options), echo=lines.append)
    assert measured.epochs == 3
    assert any("calibration error out of fold" in line for line in lines)
    model = kerastl.load_model(tmp_path / "run" / results.MODEL_FILE, safe_mode=False)
    assert model.get_layer("head").temperature != 1.0


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["solve", "train"])
def test_numbers_have_folds_too(trained, tmp_path, solver):
    from PIL import Image

    lines = ["path,value"]
    for number in range(12):
        Image.fromarray(np.full((32, 32, 3), 20 * number, "uint8")).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,{number / 12}")
    (tmp_path / "table.csv").write_text("\n".join(lines))
    options = {
        "data": f"csv:{tmp_path / 'table.csv'}?label=value",
        "task": "regression",
        "solver": solver,
        "strategy": "partial" if solver == "train" else "feature-extraction",
        "epochs": 2 if solver == "train" else None,
        "test_split": 0,
    }
    measured = training.run(replace(trained, **options), echo=quiet)
    assert measured.folds["count"] == 2
    assert measured.out_of_fold["mean_absolute_error"] >= 0
    assert len(rows_of(tmp_path / "run")) == 12


def test_the_plan_and_the_results_tell_of_the_folds(pictures, tmp_path):
    from click.testing import CliRunner

    from kerastl.commands import main

    options = [
        *("--data", f"folder:{pictures}", "--backbone", "module:small_models:tiny_resnet"),
        *("--image-size", "32", "--workers", "0", "--batch-size", "4", "--folds", "2"),
        *("--output", str(tmp_path / "run")),
    ]
    solved = [*options, "--strategy", "feature-extraction"]
    plan = CliRunner().invoke(main, ["plan", *solved])
    assert "folds     2 of 16 images, each predicted by a head" in plan.stdout, plan.output
    trained = CliRunner().invoke(main, ["plan", *options, "--strategy", "full", "--epochs", "3"])
    assert "a run without each, 12 steps together, then one on all, 12 steps" in trained.stdout
    run = CliRunner().invoke(main, ["run", *solved])
    assert "(mean and standard deviation of 2 folds)" in run.stdout, run.output


@pytest.mark.parametrize("change", ["cut off", "no archive", "other images", "objects"])
def test_damaged_predictions_of_a_fold_are_told_from_a_fault(change, tmp_path):
    held_out = np.arange(4)
    (tmp_path / results.METRICS_FILE).write_text(json.dumps({"completed": True}))
    found = files.FoldResult(held_out, np.ones((4, 2), "float32"), 1, False)
    files.save_fold(tmp_path, found)
    read = files.finished_fold(tmp_path, held_out)
    np.testing.assert_array_equal(read.outputs, found.outputs)
    file = tmp_path / files.PREDICTIONS_FILE
    with np.load(file) as opened:
        arrays = dict(opened)
    if change == "cut off":
        file.write_bytes(file.read_bytes()[:200])
    elif change == "no archive":
        file.write_bytes(b"junk")
    elif change == "objects":
        np.savez(file, **{**arrays, "epochs": np.array({}, dtype=object)})
    else:
        held_out = held_out + 4
    with pytest.raises(DamagedFileError, match="Remove"):
        files.finished_fold(tmp_path, held_out)
