"""Whether a run's head is solved, and for how long it is fine-tuned from there."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import kerastl
from kerastl.runs import config_file, solver
from kerastl.runs.config import RunConfig
from kerastl.runs.solver import solver_of, with_lengths
from kerastl.runs.training import evidence

SIZES = {"images": 300, "outputs": 10, "features": 1280}


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "solve"),
        ({"strategy": "full"}, "solve"),
        ({"batch_size": 8, "augment": "light", "class_weight": "balanced"}, "solve"),
        ({"epochs": 12}, "train"),
        ({"learning_rate": 1e-3}, "train"),
        ({"block_rate": {"head": 1e-3}}, "train"),
        ({"focal": 2.0}, "train"),
        ({"hidden_units": (16,)}, "train"),
        ({"dropout": 0.2}, "train"),
        ({"solver": "train"}, "train"),
        ({"solver": "solve", "epochs": 3, "strategy": "full"}, "solve"),
    ],
)
def test_an_option_that_says_how_a_head_is_trained_trains_it(options, name):
    assert solver_of(RunConfig(**options), **SIZES).name == name


def test_more_rows_than_are_solved_fast_are_trained_and_it_is_said():
    found = solver_of(RunConfig(), images=10**6, outputs=1000, features=2048)
    assert found.name == "train"
    assert "1,000,000 images of 1,000 classes" in found.why


def test_hidden_layers_cannot_be_solved():
    with pytest.raises(ValueError, match="`solver` must be train with `hidden_units`"):
        solver_of(RunConfig(solver="solve", hidden_units=(8,)), **SIZES)


@pytest.mark.parametrize(
    ("images", "steps_per_epoch", "epochs"), [(80, 5, 40), (1079, 34, 6), (100_000, 3125, 6)]
)
def test_few_images_are_fine_tuned_for_steps_and_many_for_epochs(images, steps_per_epoch, epochs):
    solved = solver_of(RunConfig(), **{**SIZES, "images": images})
    settled = with_lengths(RunConfig(), solved, steps_per_epoch=steps_per_epoch)
    assert (settled.epochs, settled.batch_norm, settled.solver) == (epochs, "frozen", "solve")
    size = solver.batch_size_of(RunConfig(), solved, images=images)
    assert size == (16 if images < 1000 else 32)


def test_a_trained_head_has_the_defaults_that_it_had():
    trained = solver_of(RunConfig(solver="train"), **SIZES)
    settled = with_lengths(RunConfig(), trained, steps_per_epoch=3)
    assert (settled.epochs, settled.batch_norm) == (12, "train")
    assert solver.batch_size_of(RunConfig(), trained, images=300) == 32


def test_a_config_file_of_a_run_that_trained_every_head_repeats_it(tmp_path):
    old, by_hand = tmp_path / "old.toml", tmp_path / "by_hand.toml"
    old.write_text('config_version = 1\nstrategy = "feature-extraction"\n')
    by_hand.write_text('strategy = "feature-extraction"\n')
    assert config_file.read(old)["solver"] == "train"
    assert "solver" not in config_file.read(by_hand)


def test_a_settled_config_file_gives_the_same_options(tmp_path):
    config = replace(RunConfig(), solver="solve", strategy="full", keep_start=True, batch_size=16)
    path = tmp_path / "config.toml"
    path.write_text(config_file.to_toml(config, path.parent))
    assert RunConfig(**config_file.read(path)) == config


@pytest.mark.parametrize(
    "options", [{"group": True}, {"sampling": "balanced"}, pytest.param({}, marks=pytest.mark.slow)]
)
def test_blocks_are_judged_on_groups_and_images_that_none_was_solved_with(tmp_path, options):
    names = [f"{number}.png" for number in range(24)]
    for number, name in enumerate(names):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / name)
    rows = [f"{name},{'b' if n > 17 else 'a'},{n // 3}" for n, name in enumerate(names)]
    (tmp_path / "table.csv").write_text("\n".join(["image,label,patient", *rows]))
    spec = f"csv:{tmp_path / 'table.csv'}{'?group=patient' if options.pop('group', 0) else ''}"
    data = kerastl.load_data(spec, image_size=8, validation_split=0, test_split=0, **options)
    data.set_epoch(0)
    came = np.concatenate([np.asarray(images)[:, 0, 0, 0] for images, _ in data.train]).astype(int)
    groups = evidence._groups_of_first(data, 20)
    if "group" in spec:
        assert groups.tolist() == [str(number // 3) for number in came[:20]]
    elif options:
        by_group = {group: set(came[:20][groups == group]) for group in np.unique(groups)}
        assert all(len(numbers) == 1 for numbers in by_group.values())
        assert len(by_group) == len(set(came[:20])) < 20
    else:
        assert groups is None


def losses(middle, last, noise=0.1):
    draws = np.random.default_rng(0).normal(size=(2, 40)) * noise
    return {"layer1": middle + draws[0], "layer2": last + draws[1]}


@pytest.mark.parametrize(("middle", "strategy"), [(0.5, "full"), (1.0, "feature-extraction")])
def test_a_middle_block_that_is_surely_better_is_for_fine_tuning(middle, strategy):
    found = evidence._compared(losses(middle, 1.0), images=40)
    assert evidence.choice(found)[0] == strategy


@pytest.mark.parametrize(
    ("per_class", "strategy"),
    [(99, "gathered"), (100, "partial"), (999, "partial"), (1000, "full")],
)
def test_many_images_are_fine_tuned_whatever_the_blocks_show(monkeypatch, per_class, strategy):
    monkeypatch.setattr(evidence, "gather", lambda prepared: None)
    monkeypatch.setattr(evidence, "choice", lambda found: ("gathered", ""))
    data = SimpleNamespace(sizes={"train": 5 * per_class}, num_classes=5)
    assert evidence.settled(SimpleNamespace(data=data))[0] == strategy


def test_a_difference_within_the_noise_is_none():
    found = evidence._compared(losses(1.2, 1.0, noise=1.0), images=40)
    assert found.certainty < evidence.CERTAIN
    assert evidence.choice(found)[0] == "feature-extraction"


def test_images_that_no_fold_holds_out_say_nothing():
    nothing = {"layer1": np.full(3, np.nan), "layer2": np.full(3, np.nan)}
    assert evidence.choice(evidence._compared(nothing, images=3))[0] == "feature-extraction"
