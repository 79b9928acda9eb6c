"""The command line, as a user meets it."""

import json
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner
from scipy.stats import binomtest
from small_runs import write_pictures

from kerastl.commands import main
from kerastl.errors import sentence
from kerastl.evaluation import run_record as results
from kerastl.runs import config_file

COMMANDS = ("run", "plan", "pick", "backbones", "blocks", "evaluate", "predict", "embed", "export")
QUICK = ("--image-size", "32", "--epochs", "1", "--strategy", "feature-extraction")
SMALL = (*QUICK, "--workers", "0")
"""With a few pictures of one's own: `--data` is to follow."""


def kerastl(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run folder, and what the run said."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    return folder, kerastl("run", *QUICK, "--output", folder)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of two classes, `dark` and `light`, eight images each."""
    return write_pictures(tmp_path_factory.mktemp("pictures"), per_class=8, size=40)


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_imports_neither_torch_nor_keras(command):
    code = (
        "import sys\nfrom kerastl.commands import main\n"
        f"main([*{command!r}, '--help'], standalone_mode=False)\n"
        "heavy = {'torch', 'keras', 'torchvision', 'sklearn'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout


def test_a_run_prints_results_to_stdout_and_progress_to_stderr(finished):
    folder, result = finished
    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.stdout.splitlines()] == [
        "train",
        "validation",
        "test",
        "Saved",
    ]
    assert "Strategy feature-extraction: as asked, so only the head trains." in result.stderr
    assert "Frozen stem, stage1," in result.stderr
    assert "Trained head\n" in result.stderr
    assert "Epoch 1/1" in result.stderr
    assert str(folder) in result.stdout


def test_every_part_of_a_run_has_wilsons_interval_and_its_number_of_images(finished):
    folder, result = finished
    measured = results.load_metrics(folder)
    lines = result.stdout.splitlines()
    for line, (part, images) in zip(lines, measured.images.items(), strict=False):
        accuracy = getattr(measured, part)["accuracy"]
        ends = binomtest(round(accuracy * images), images).proportion_ci(method="wilson")
        assert measured.intervals[part]["accuracy"] == pytest.approx([ends.low, ends.high])
        low, high, count = re.search(r"\(([\d.]+)-([\d.]+), (\d[\d,]*) images\)", line).groups()
        assert float(low) <= ends.low < ends.high <= float(high)
        assert count == f"{images:,}"


def test_a_run_folder_holds_its_files(finished):
    folder, _ = finished
    expected = {*results.RUN_FILES, results.SPLIT_FILE, *results.REPORT_FILES}
    expected -= {results.CHECKPOINT_FILE}
    assert {path.name for path in folder.iterdir()} == expected
    measured = results.load_metrics(folder)
    assert set(measured.test) == {"accuracy", "loss"}
    assert measured.images == {"train": 1079, "validation": 359, "test": 359}
    (row,) = results.load_history(folder)
    assert row["learning_rate/stem"] == 0.0
    assert "learning_rate/head" in row


def test_the_config_of_a_run_is_resolved(finished):
    folder, _ = finished
    values = config_file.read(folder / results.CONFIG_FILE)
    assert (values["strategy"], values["seed"]) == ("feature-extraction", 0)
    assert values["image_size"] == 32
    assert values["learning_rate"] > 0


@pytest.mark.slow
def test_the_config_repeats_the_run(finished, tmp_path):
    folder, _ = finished
    again = tmp_path / "again"
    result = kerastl("run", "--config", folder / results.CONFIG_FILE, "--output", again)
    assert result.exit_code == 0, result.output
    first, second = results.load_metrics(folder), results.load_metrics(again)
    assert second.test == pytest.approx(first.test, rel=1e-3)


def test_evaluate_gives_the_runs_own_test_scores(finished):
    folder, _ = finished
    result = kerastl("evaluate", folder)
    assert result.exit_code == 0, result.output
    measured = results.load_metrics(folder)
    assert "digits, test part: 359 images" in result.stdout
    assert f"accuracy {measured.test['accuracy']:.4f} (0." in result.stdout
    assert ", 359 images)" in result.stdout
    assert "precision" in result.stdout
    assert "Confusion matrix" in result.stdout


@pytest.mark.slow
def test_evaluate_on_other_data_uses_all_images_and_says_so(pictures, tmp_path):
    folder = tmp_path / "run"
    data = f"folder:{pictures}"
    done = kerastl(
        "run", "--data", data, *QUICK, "--workers", 0, "--class-weight", "balanced",
        "--output", folder,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    result = kerastl("evaluate", folder / results.MODEL_FILE, "--data", data)
    assert result.exit_code == 0, result.output
    assert "all images (the data has no test part): 16 images" in result.stdout


def test_evaluate_refuses_data_of_other_classes(finished, pictures):
    folder, _ = finished
    result = kerastl("evaluate", folder, "--data", f"folder:{pictures}")
    assert result.exit_code == 1
    assert "Error: `data` must have the model's 10 classes" in result.stderr


def test_evaluate_of_a_file_needs_to_know_the_data(finished):
    folder, _ = finished
    assert kerastl("evaluate", folder / results.MODEL_FILE).exit_code == 2


def test_predict_prints_the_most_probable_classes(finished, pictures):
    folder, _ = finished
    result = kerastl("predict", folder, pictures / "dark", "--top", "2")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) == 8
    assert all(line.count(", ") == 1 for line in lines)


def test_predict_prints_json_lines(finished, pictures):
    folder, _ = finished
    result = kerastl("predict", folder, f"{pictures}/*/0.png", "--json", "--top", "20")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(rows) == 2
    for row in rows:
        probabilities = [entry["probability"] for entry in row["predictions"]]
        assert len(probabilities) == 10
        assert sum(probabilities) == pytest.approx(1, abs=1e-4)
        assert probabilities == sorted(probabilities, reverse=True)


def test_predict_goes_on_after_a_broken_file(finished, pictures, tmp_path):
    folder, _ = finished
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    result = kerastl("predict", folder, broken, pictures / "light" / "1.png")
    assert result.exit_code == 1
    assert str(broken) in result.stderr
    assert "1 of 2 files could not be read" in result.stderr
    assert "1.png: " in result.stdout


def test_a_module_of_the_current_folder_trains_and_opens_again_when_allowed(
    pictures, tmp_path, monkeypatch
):
    (tmp_path / "own_nets.py").write_text(
        "from torch import nn\n"
        "def small():\n"
        "    convolution = nn.Conv2d(3, 4, 3, stride=2)\n"
        "    return nn.Sequential(convolution, nn.ReLU(), nn.Flatten(), nn.Linear(900, 3))\n"
    )
    monkeypatch.chdir(tmp_path)
    done = kerastl(
        "run", "--data", f"folder:{pictures}", "--backbone", "module:own_nets:small", *QUICK,
        "--workers", 0, "--output", "run",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    image = pictures / "dark" / "0.png"
    refused = kerastl("predict", "run", image)
    assert refused.exit_code == 1
    assert "--no-safe-mode" in refused.stderr
    assert kerastl("predict", "run", image, "--no-safe-mode").exit_code == 0
    assert kerastl("evaluate", "run", "--no-safe-mode").exit_code == 0


@pytest.mark.slow
def test_a_run_says_what_it_keeps_of_the_frozen_blocks(pictures, tmp_path):
    common = ("run", *SMALL, "--data", f"folder:{pictures}", "--epochs", "2")
    kept = kerastl(*common, "--output", tmp_path / "kept")
    assert "Cache in memory: pooling of 10 images, 51.2 kB; validation in memory" in kept.stderr
    saved = json.loads((tmp_path / "kept" / "metrics.json").read_text())
    assert saved["cache"].startswith("in memory: pooling of 10 images")
    plain = kerastl(*common, "--cache", "off", "--output", tmp_path / "plain")
    assert "Cache not used: as asked" in plain.stderr
    rows = [results.load_history(tmp_path / name) for name in ("kept", "plain")]
    for found, expected in zip(*rows, strict=True):
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_plan_shows_blocks_rates_and_reason_and_writes_nothing(tmp_path):
    output = tmp_path / "never"
    result = kerastl("plan", "--image-size", "32", "--solver", "train", "--output", output)
    assert result.exit_code == 0, result.output
    assert "strategy  partial: 108 images per class" in result.stdout
    assert "images    train 1,079, validation 359 (drawn, 20 %), test 359" in result.stdout
    assert "classes   10, images of train/validation/test: '0' " in result.stdout
    assert (
        "cache     in memory: stage4 of 1,079 images, 1.4 MB; validation in memory" in result.stdout
    )
    assert "frozen statistics" in result.stdout
    assert not output.exists()


def test_plan_tells_what_auto_does_once_the_head_is_solved():
    result = kerastl("plan", "--image-size", "32")
    assert "head      solved to convergence" in result.stdout
    assert "Auto, once the head is solved:\nfull      from 1,000" in result.stdout
    assert result.stdout.splitlines()[-2].split()[:4] == ["head", "12,810", "solved", "none"]


def test_plan_takes_every_option_of_run():
    of_run, of_plan = (
        {option.name for option in main.commands[name].params} for name in ("run", "plan")
    )
    assert of_run - of_plan == {"resume", "progress", "processes"}
    assert of_plan - of_run == {"config_out", "preview"}
    assert {"config_path", "block_rate", "freeze_through"} <= of_run


def test_backbones_lists_one_source():
    result = kerastl("backbones", "--source", "bundled")
    header, *rows = result.stdout.splitlines()
    assert header.split("  ")[0] == "name"
    assert [row.split()[:5] for row in rows] == [
        ["bundled:efficientnet_lite0", "bundled", "4,652,008", "224", "75.1"],
        ["bundled:efficientnet_lite1", "bundled", "5,416,680", "240", "76.7"],
        ["bundled:efficientnet_lite2", "bundled", "6,092,072", "260", "77.6"],
    ]


def test_blocks_shows_layers_parameters_and_shapes():
    result = kerastl("blocks", "torchvision:resnet18", "--image-size", "64")
    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.stdout.splitlines()] == [
        "block", "stem", "layer1", "layer2", "layer3", "layer4",
    ]  # fmt: skip
    assert "5 Conv2d" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "--backbone", "torchvision:resnet81"), "Did you mean"),
        (("run", "--data", "digts"), "Did you mean 'digits'"),
        (("run", "--backbone", "torchvision:resnet18", "--weights", "V3"), "weights name"),
        (("run", "--freeze-through", "stage44"), "Did you mean 'stage4'"),
        (("run", "--block-rate", "stem=0.1"), "stem is frozen"),
        (("run", "--epochs", "0"), "`epochs` must be 1 or more"),
        (("run", "--background", "whitish"), "`background` must be"),
        (("plan", "--data", "folder:nowhere"), "nowhere"),
        (("blocks", "torchvision:resnet81"), "Did you mean"),
        (("evaluate", "nowhere"), "does not exist"),
        (("predict", "nowhere", "a.png"), "does not exist"),
    ],
)
def test_bad_input_is_one_clear_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = kerastl(*arguments)
    assert result.exit_code == 1, result.output
    assert message in result.stderr
    (error,) = (line for line in result.stderr.splitlines() if line.startswith("Error: "))
    assert result.stderr.endswith(f"{error}\n")
    assert "Traceback" not in result.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--strategy", "ful"),
        ("run", "--block-rate", "stem"),
        ("run", "--block-rate", "stem=fast"),
        ("run", "--config", "nowhere.toml"),
        ("run", "--no-such-option"),
        ("blocks",),
        ("backbones", "--source", "timm"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments):
    assert kerastl(*arguments).exit_code == 2


def test_debug_shows_the_traceback(tmp_path):
    result = kerastl("blocks", "torchvision:resnet81", "--debug")
    assert isinstance(result.exception, ValueError)


def test_a_backend_that_is_not_installed_is_one_sentence():
    code = (
        "import kerastl.runs.backends as backends\n"
        "backends.find_spec = lambda name: None\n"
        "from kerastl.commands import main\n"
        "main(['run', '--backend', 'jax'])"
    )
    environment = {"PATH": "", "KERAS_BACKEND": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 1
    assert "Received: backend='jax'. Run" in done.stderr
    assert 'pip install "kerastl[jax]"`.' in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (PermissionError(13, "Permission denied", "/x"), "Permission denied: /x"),
        (ValueError(" said. "), "said."),
        (
            AttributeError("x"),
            "AttributeError: x. This is a fault of kerastl; run again with --debug to see where.",
        ),
    ],
)
def test_every_error_has_a_sentence(error, text):
    assert sentence(error) == text


def test_evaluate_writes_the_report_of_a_run_again(finished):
    folder, _ = finished
    (folder / results.REPORT_FILE).unlink(missing_ok=True)
    done = kerastl("evaluate", folder, "--report")
    assert done.exit_code == 0, done.output
    assert f"Saved {folder / results.REPORT_FILE}" in done.stdout
    html = (folder / results.REPORT_FILE).read_text(encoding="utf-8")
    assert "bundled:efficientnet_lite0 on digits" in html
    assert all((folder / name).is_file() for name in results.REPORT_FILES)


@pytest.mark.parametrize("other", [("--data", "digits"), ()])
def test_a_report_is_of_a_runs_own_images(finished, tmp_path, other):
    folder, _ = finished
    done = kerastl("evaluate", folder if other else tmp_path, "--report", *other)
    assert done.exit_code == 2
    assert "--report is for a finished run" in done.output


def test_json_progress_is_json_lines_with_the_results_last(pictures, tmp_path):
    result = kerastl(
        *("run", *SMALL, "--data", f"folder:{pictures}", "--progress", "json"),
        *("--output", tmp_path / "run"),
    )
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [event["event"] for event in events if event["event"] != "message"] == [
        "fit",
        "epoch",
        "result",
    ]
    assert events[-1]["test"] == results.load_metrics(tmp_path / "run").test
    assert result.stderr == ""


def test_quiet_progress_is_the_results_alone(pictures, tmp_path):
    result = kerastl(
        *("run", *SMALL, "--data", f"folder:{pictures}", "--progress", "quiet"),
        *("--output", tmp_path / "run"),
    )
    assert result.stderr == ""
    assert [line.split()[0] for line in result.stdout.splitlines()][-1] == "Saved"


def test_a_resumed_run_takes_no_other_options(finished):
    folder, _ = finished
    result = kerastl("run", "--resume", folder, "--epochs", "3", "--batch-size", "8")
    assert result.exit_code == 2
    assert "Leave out --batch-size, --epochs." in result.stderr
    result = kerastl("run", "--resume", folder)
    assert result.exit_code == 1
    assert "holds a run that is complete" in result.stderr
