"""`kerastl evaluate` on a run whose files are not those that the run wrote."""

import shutil

import pytest
from click.testing import CliRunner

import kerastl
from kerastl.commands import main
from kerastl.evaluation import run_record as results


def command(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def finished(tmp_path_factory, pictures):
    """A run folder with all its files."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    done = command(
        "run", "--data", f"folder:{pictures}", "--image-size", 32, "--workers", 0, "--backbone",
        "torchvision:squeezenet1_1", "--weights", "none", "--strategy", "feature-extraction",
        "--epochs", 1, "--output", folder,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def run(finished, tmp_path):
    """A copy of it."""
    return shutil.copytree(finished, tmp_path / "run")


def test_evaluate_says_what_is_not_as_the_run_wrote_it(run):
    assert "is not the file that the run wrote" not in command("evaluate", run).output
    assert set(results.load_metrics(run).digests) == set(results.DIGESTED_FILES)
    model = kerastl.load_model(run / results.MODEL_FILE)
    model.compile("sgd", learning_rate=1e-3)
    model.save(run / results.MODEL_FILE)
    (run / results.HISTORY_FILE).write_text("epoch,loss\n1,0\n")
    done = command("evaluate", run)
    assert done.exit_code == 0, done.output
    for name in (results.MODEL_FILE, results.HISTORY_FILE):
        assert f"{run / name} is not the file that the run wrote" in done.stderr
    (run / results.METRICS_FILE).write_text("{")
    done = command("evaluate", run)
    assert done.exit_code == 0, done.output
    assert "metrics.json is damaged" in done.stderr


@pytest.mark.parametrize(
    "name", [results.MODEL_FILE, results.SPLIT_FILE, results.METRICS_FILE, results.HISTORY_FILE]
)
def test_a_damaged_file_of_a_run_is_one_sentence(name, run):
    content = (run / name).read_bytes()
    (run / name).write_bytes(
        content[: len(content) // 2] + b"\0" + content[len(content) // 2 + 1 :]
    )
    done = command("evaluate", run, "--report")
    assert done.exit_code == (0 if name == results.HISTORY_FILE and "Saved" in done.output else 1)
    assert "damaged" in done.stderr
    assert "fault of kerastl" not in done.output
