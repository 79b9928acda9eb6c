"""`kerastl compare`: measures, table, exit codes, and one real run on three backends."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from kerastl.commands import main
from kerastl.runs.comparison import compare as comparing
from kerastl.runs.comparison import writing
from kerastl.runs.comparison.measures import BackendRun, StartNumbers, difference

REFERENCE = BackendRun("torch", losses=[2.0, 1.0], step_seconds=0.1, first_step_seconds=1.0)
NUMBERS = StartNumbers(np.array([[1.0, -4.0]]), {"head": np.array([3.0, 4.0])})


def test_differences_are_relative_to_the_reference():
    run = BackendRun("jax", losses=[2.001, 1.0])
    numbers = StartNumbers(np.array([[1.0, -4.002]]), {"head": np.array([3.0, 4.01])})
    found = difference(run, numbers, REFERENCE, NUMBERS)
    assert found.logits == pytest.approx(0.002 / 4)
    assert found.loss == pytest.approx(0.0005)
    assert found.gradient == {"head": pytest.approx(0.01 / 5)}
    assert found.beyond == ["logits", "gradient"]


def test_a_number_that_is_none_is_beyond_tolerance():
    run = BackendRun("jax", losses=[float("nan"), 1.0])
    assert "loss" in difference(run, NUMBERS, REFERENCE, NUMBERS).beyond


def test_start_numbers_come_back_from_their_file(tmp_path):
    NUMBERS.save(tmp_path / "torch.npz")
    again = StartNumbers.load(tmp_path / "torch.npz")
    np.testing.assert_array_equal(again.logits, NUMBERS.logits)
    np.testing.assert_array_equal(again.gradients["head"], NUMBERS.gradients["head"])


def test_a_row_beyond_tolerance_is_marked_and_a_failed_backend_says_why():
    off = difference(BackendRun("jax", losses=[2.5, 1.0]), NUMBERS, REFERENCE, NUMBERS)
    runs = [REFERENCE, BackendRun("jax", losses=[2.5, 1.0]), BackendRun("tensorflow", error="No.")]
    lines = writing.table(runs, {"jax": off}).splitlines()
    assert "reference" in lines[1]
    assert "2.5e-01 !" in lines[2]
    assert "tensorflow failed: No." in lines


def measured(backend, right, *, images=78, **more):
    """A backend that got the first images right."""
    answers = [number < right for number in range(images)]
    return BackendRun(
        backend, losses=[1.0], test_accuracy=right / images, test_right=answers, **more
    )


def test_accuracies_come_with_intervals_and_whether_they_differ_by_noise():
    runs = [measured("torch", 69), measured("jax", 68), measured("tensorflow", 40)]
    text = writing.table(runs, {})
    assert "0.8846 (0.79-0.94)" in text
    assert text.splitlines()[-2:] == [
        "Test accuracy (78 images): jax differs from torch by less than the noise "
        "(exact McNemar test, p = 1.0).",
        "Test accuracy (78 images): tensorflow differs from torch by more than the noise "
        "(exact McNemar test, p < 0.001).",
    ]


def test_train_and_test_that_differ_by_noise_are_named():
    """69 of 78 and 900 of 1,000 have intervals that meet; 999 of 1,000 has none of them."""
    runs = [
        measured("torch", 69, train_accuracy=0.9, train_images=1000),
        measured("jax", 69, train_accuracy=0.999, train_images=1000),
    ]
    assert writing.table(runs, {}).splitlines()[-1] == (
        "Train and test accuracy differ by less than the noise on torch."
    )


def test_the_file_has_the_interval_in_place_of_each_image(tmp_path):
    writing.save_json(tmp_path, [measured("torch", 81, images=263), BackendRun("jax")], {})
    saved = json.loads((tmp_path / writing.JSON_FILE).read_text())["backends"]
    assert saved["torch"]["test_images"] == 263
    assert saved["torch"]["test_interval"] == pytest.approx([0.2553, 0.3662], abs=5e-5)
    assert "test_right" not in saved["torch"]
    assert saved["jax"]["test_interval"] is None


def invoke(*arguments):
    return CliRunner().invoke(main, ["compare", *arguments])


@pytest.mark.parametrize(
    ("backends", "sentence"),
    [
        ("torch", "must name two or more"),
        ("torch,torch", "each once"),
        ("torch,jx", "Unknown backend 'jx'. Did you mean 'jax'?"),
    ],
)
def test_a_wrong_list_of_backends_is_refused(tmp_path, backends, sentence):
    result = invoke("--backends", backends, "--output", str(tmp_path / "out"))
    assert result.exit_code == 1
    assert sentence in result.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["compare", "find-rate"])
def test_folds_are_no_option_of_one_short_training(tmp_path, command):
    arguments = [command, "--folds", "3"]
    if command == "compare":
        arguments += ["--backends", "torch,jax", "--output", str(tmp_path)]
    found = CliRunner().invoke(main, arguments)
    assert found.exit_code != 0
    assert "folds" in found.output.splitlines()[-1]


def test_a_backend_that_is_not_installed_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "kerastl.runs.backends.find_spec", lambda name: None if name == "jax" else name
    )
    result = invoke("--backends", "torch,jax", "--output", str(tmp_path / "out"))
    assert result.exit_code == 1
    assert "Received: backend='jax'. Run" in result.output
    assert 'pip install "kerastl[jax]"`.' in result.output


def test_a_backend_that_dies_leaves_the_others_and_says_why(tmp_path, monkeypatch):
    """The process of one backend is killed; what the other measured is kept."""
    worker = tmp_path / "worker"
    worker.write_text(
        "#!/bin/sh\n"
        'if [ "$4" = jax ]; then kill -9 $$; fi\n'
        'printf \'{"backend": "%s", "losses": [1.0], "step_seconds": 0.1}\' "$4" '
        '> "$3/$4.json"\n'
    )
    worker.chmod(0o755)
    monkeypatch.setattr(comparing.sys, "executable", str(worker))
    folder = tmp_path / "out"
    folder.mkdir()
    NUMBERS.save(folder / "torch.npz")
    result = invoke("--backends", "torch,jax", "--output", str(folder))
    assert result.exit_code == 1
    assert "jax failed: Its process was ended by SIGKILL (out of memory?)" in result.output
    assert "torch" in result.output
    saved = json.loads((folder / "comparison.json").read_text())
    assert saved["backends"]["torch"]["losses"] == [1.0]
    assert "SIGKILL" in saved["backends"]["jax"]["error"]


@pytest.mark.slow
def test_three_backends_agree_on_a_job(tmp_path):
    folder = tmp_path / "out"
    result = invoke(
        *("--data", "digits", "--epochs", "1", "--image-size", "32", "--batch-size", "64"),
        *("--strategy", "feature-extraction", "--output", str(folder), "--strict"),
    )
    assert result.exit_code == 0, result.output
    saved = json.loads((folder / "comparison.json").read_text())
    assert saved["reference"] == "torch"
    assert list(saved["backends"]) == ["torch", "jax", "tensorflow"]
    for name in ("jax", "tensorflow"):
        row = saved["backends"][name]
        assert row["difference"]["beyond"] == []
        assert row["difference"]["logits"] < 1e-4
        assert len(row["losses"]) == len(saved["backends"]["torch"]["losses"]) == 17
        assert row["test_accuracy"] > 0.3  # one epoch of the head alone; chance is 0.1
        assert row["test_interval"][0] < row["test_accuracy"] < row["test_interval"][1]
        assert f"{name} differs from torch by less than the noise" in result.output
        assert row["step_seconds"] < row["first_step_seconds"]
    assert (folder / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert not list(folder.glob("*.npz"))
    assert "Differences are relative to torch" in result.output
    again = invoke("--output", str(folder))
    assert again.exit_code == 1
    assert "--overwrite" in again.output


@pytest.mark.parametrize(("is_fault", "code"), [(True, 3), (False, 1)])
def test_a_fault_within_a_backend_is_a_fault_of_the_comparison(
    tmp_path, monkeypatch, is_fault, code
):
    failed = BackendRun("jax", error="No.", is_fault=is_fault)
    found = comparing.Comparison([REFERENCE, failed], {})
    monkeypatch.setattr(comparing, "compare", lambda *given, **options: found)
    ended = CliRunner().invoke(main, ["compare", "--output", str(tmp_path)])
    assert (ended.exit_code, "jax did not finish" in ended.output) == (code, True)


def test_a_worker_says_whether_the_program_is_at_fault(tmp_path, monkeypatch):
    from kerastl.runs.comparison import worker
    from kerastl.runs.comparison.measures import load_run

    def measure(folder, backend):
        return {}["missing"] if backend == "jax" else (_ for _ in ()).throw(OSError("No disk."))

    monkeypatch.setattr(worker, "measure", measure)
    told = {}
    for backend in ("jax", "torch"):
        monkeypatch.setattr(worker.sys, "argv", ["worker", str(tmp_path), backend])
        assert worker.main() == 1
        told[backend] = load_run(tmp_path / f"{backend}.json").is_fault
    assert told == {"jax": True, "torch": False}
