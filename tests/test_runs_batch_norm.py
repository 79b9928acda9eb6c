"""`--batch-norm`: in the plan, the config file, phases and a run that goes on."""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from small_runs import kill_and_resume, quiet

import kerastl
from kerastl.commands import main
from kerastl.evaluation import run_record
from kerastl.runs import config_file, training
from kerastl.runs.config import RunConfig
from kerastl.runs.phases import as_options, phases_of

BLOCKS = ["stem", "layer1", "head"]
BACKBONE = "keras:MobileNet?alpha=0.25"


def test_a_plan_shows_it_and_writes_it(tmp_path):
    file = tmp_path / "config.toml"
    options = {"backbone": BACKBONE, "weights": "none", "strategy": "partial", "image-size": "32"}
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    told = ["plan", *flags, "--batch-norm", "frozen", "--write", str(file)]
    result = CliRunner().invoke(main, told)
    assert result.exit_code == 0, result.output
    rows = {line.split()[0]: line for line in result.stdout.splitlines() if line}
    assert "batch_norm='frozen'" in rows["options"]
    assert "frozen statistics, trains scale and shift" in rows["stage5"]
    assert "frozen statistics  " in rows["stem"]
    assert config_file.read(file)["batch_norm"] == "frozen"


def test_another_word_is_wrong_usage():
    result = CliRunner().invoke(main, ["plan", "--batch-norm", "off"])
    assert result.exit_code == 2
    assert "'train', 'frozen'" in result.output


@pytest.mark.parametrize("strategy", ["gradual", "partial"])
def test_phases_take_the_runs_and_may_say_their_own(strategy):
    def phases(**options):
        found = phases_of(RunConfig(**options), BLOCKS, images=120, num_classes=3)
        return [phase.batch_norm for phase in found], as_options(found)

    modes, written = phases(strategy=strategy, batch_norm="frozen")
    assert set(modes) == {"frozen"}
    assert phases(phase=written)[0] == modes
    listed = ({"strategy": "full", "batch_norm": "frozen"}, {"strategy": "full"})
    assert phases(phase=listed)[0] == ["frozen", "train"]


@pytest.mark.slow
def test_a_run_keeps_it_from_phase_to_phase_and_when_it_goes_on(config, monkeypatch):
    phases = (
        {"strategy": "full", "epochs": 1, "batch_norm": "frozen"},
        {"strategy": "full", "epochs": 2, "batch_norm": "train"},
        {"strategy": "full", "epochs": 2, "batch_norm": "frozen"},
    )
    options = replace(config, backbone=BACKBONE, weights="none", phase=phases)
    folder = Path(options.output)
    seen = []
    original = training.phase_loop.begin_phase
    monkeypatch.setattr(
        training.phase_loop,
        "begin_phase",
        lambda prepared, number: (
            original(prepared, number),
            seen.append((number, prepared.model.batch_norm["stem"])),
        ),
    )
    kill_and_resume(options, monkeypatch, [5])
    assert set(seen) == {(1, "train"), (2, "frozen")}
    model = kerastl.load_model(folder / run_record.MODEL_FILE)
    assert set(model.batch_norm.values()) == {"frozen"}
    written = config_file.read(folder / run_record.CONFIG_FILE)
    assert [phase["batch_norm"] for phase in written["phase"]] == ["frozen", "train", "frozen"]


@pytest.mark.slow
def test_a_run_with_frozen_statistics_leaves_those_of_the_pretrained_network(config):
    training.run(replace(config, strategy="full", batch_norm="frozen", epochs=1), echo=quiet)
    model = kerastl.load_model(Path(config.output) / run_record.MODEL_FILE)
    original = kerastl.ImageClassifier("bundled:efficientnet_lite0", 2, image_size=32)
    for ours, theirs in zip(
        model.non_trainable_variables, original.non_trainable_variables, strict=True
    ):
        assert (ours.value == theirs.value).all()
