"""Whole runs on shards and on sets of the library `datasets`: as on the same files."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from small_runs import finished, kill_and_resume, quiet
from tiny_shards import png, write_shard

from kerastl.commands import main
from kerastl.evaluation import run_record as results
from kerastl.runs import training
from kerastl.runs.config import RunConfig

PARTS = {"train": range(24), "validation": range(24, 32), "test": range(32, 40)}


def label(number: int) -> str:
    return ("cat", "dog")[number % 2]


def files(folder: Path) -> str:
    """A table of the images, each of its part."""
    folder.mkdir()
    with (folder / "table.csv").open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(("path", "label", "split"))
        for part, numbers in PARTS.items():
            for number in numbers:
                (folder / f"{number}.png").write_bytes(png(number, size=32))
                writer.writerow((f"{number}.png", label(number), part))
    return f"csv:{folder / 'table.csv'}"


def shards(folder: Path) -> str:
    for part, numbers in PARTS.items():
        for first in range(0, len(numbers), 4):
            members = [
                (f"{n:03d}", {"png": png(n, size=32), "txt": label(n).encode()})
                for n in numbers[first : first + 4]
            ]
            write_shard(folder / f"{part}-{first // 4}.tar", members)
    return f"wds:{folder}/train-{{0..5}}.tar?label=txt&validation=validation-*.tar&test=test-*.tar"


def records(folder: Path) -> str:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "kind": datasets.Value("string")})
    parts = {}
    for part, numbers in PARTS.items():
        images = [{"bytes": png(number, size=32), "path": None} for number in numbers]
        values = {"image": images, "kind": [label(number) for number in numbers]}
        parts[part] = datasets.Dataset.from_dict(values, features=features)
    datasets.DatasetDict(parts).save_to_disk(folder)
    return f"hf:{folder}?label=kind"


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    monkeypatch.setenv("KERASTL_CACHE", str(tmp_path / "cache"))
    return RunConfig(
        backbone="keras:MobileNet?alpha=0.25",
        weights="none",
        workers=0,
        image_size=32,
        batch_size=4,
        epochs=2,
        strategy="feature-extraction",
        output=str(tmp_path / "run"),
    )


@pytest.mark.slow
@pytest.mark.parametrize("source", [shards, records])
@pytest.mark.parametrize("strategy", ["feature-extraction", "partial"])
def test_a_run_is_that_on_the_same_files(
    source: Any, strategy: str, options: RunConfig, tmp_path: Path
) -> None:
    found = []
    for name, spec in (("own", source(tmp_path / "own")), ("files", files(tmp_path / "files"))):
        config = replace(
            options,
            data=spec,
            strategy=strategy,
            augment="light",
            workers=1,
            output=str(tmp_path / f"run of {name}"),
        )
        training.run(config, echo=quiet)
        found.append(finished(Path(config.output)))
    (history, weights, test), (expected, expected_weights, expected_test) = found
    measured = [name for name in expected[0] if "seconds" not in name and "second" not in name]
    for row, other in zip(history, expected, strict=True):
        assert {name: row[name] for name in measured} == {name: other[name] for name in measured}
    for weight, other_weight in zip(weights, expected_weights, strict=True):
        np.testing.assert_array_equal(weight, other_weight)
    assert test == expected_test


@pytest.mark.slow
@pytest.mark.parametrize("source", [shards, records])
def test_a_run_killed_amid_epochs_ends_as_the_one_that_was_not(
    source: Any, options: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = replace(
        options,
        data=source(tmp_path / "data"),
        strategy="partial",
        checkpoint_every=0.0,
        output=str(tmp_path / "whole"),
    )
    training.run(whole, echo=quiet)
    killed = replace(whole, output=str(tmp_path / "killed"))
    checkpoint = kill_and_resume(killed, monkeypatch, [1, 4, 3])
    assert checkpoint.progress.steps
    (history, weights, _), (expected, expected_weights, _) = (
        finished(tmp_path / name) for name in ("killed", "whole")
    )
    for row, other in zip(history, expected, strict=True):
        assert row == pytest.approx(other, rel=1e-5, abs=1e-7)
    for weight, other_weight in zip(weights, expected_weights, strict=True):
        np.testing.assert_allclose(weight, other_weight, rtol=1e-5, atol=1e-6)


def command(*arguments: object) -> Any:
    done = CliRunner().invoke(main, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    return done


@pytest.mark.slow
@pytest.mark.parametrize("source", [shards, records])
def test_the_command_line_plans_runs_evaluates_and_checks(
    source: Any, options: RunConfig, tmp_path: Path
) -> None:
    spec = source(tmp_path / "together" / "data")
    own = ("--data", spec, "--backbone", options.backbone, "--weights", "none", "--image-size", 32)
    planned = command("plan", *own)
    assert "train 24" in planned.output
    command("run", *own, "--epochs", 1, "--workers", 0, "--output", tmp_path / "together" / "run")
    with (tmp_path / "together" / "run" / results.SPLIT_FILE).open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 40
    assert all(row["digest"] for row in rows)
    accuracy = results.load_metrics(tmp_path / "together" / "run").test["accuracy"]
    assert f"{accuracy:.4f}" in command("evaluate", tmp_path / "together" / "run").output
    # Data and run are moved together.
    (tmp_path / "together").rename(tmp_path / "moved")
    assert f"{accuracy:.4f}" in command("evaluate", tmp_path / "moved" / "run").output
    config = (tmp_path / "moved" / "run" / results.CONFIG_FILE).read_text()
    assert str(tmp_path) not in config
    data = spec.replace("together", "moved")
    checked = command("check", data, "--backbone", "none", "--no-page", "--json")
    found = json.loads(checked.stdout)
    assert sum(found["images"].values()) == 40
