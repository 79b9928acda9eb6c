"""The options of a run, and the TOML file that repeats it."""

import dataclasses
from pathlib import Path

import pytest

from kerastl.errors import UnknownNameError
from kerastl.runs import config as configs
from kerastl.runs import config_file
from kerastl.runs.config import RunConfig


def written(tmp_path, text: str):
    path = tmp_path / "config.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "config",
    [
        RunConfig(),
        RunConfig(
            block_rate={"head": 0.01},
            hidden_units=(64, 32),
            learning_rate=1e-3,
            layerwise_decay=0.5,
            freeze_through="layer2",
            skip_broken=True,
            class_weight="balanced",
            workers=0,
        ),
    ],
)
def test_what_is_written_is_read_back(tmp_path, config):
    values = config_file.read(written(tmp_path, config_file.to_toml(config, tmp_path)))
    assert RunConfig(**values) == config


def test_every_option_that_is_set_has_a_line():
    text = config_file.to_toml(RunConfig(), Path())
    for option in dataclasses.fields(RunConfig):
        value = getattr(RunConfig(), option.name)
        is_set = value is not None and not (option.metadata["only_in_file"] and not value)
        assert (f"{option.name} =" in text or f"[{option.name}]" in text) == is_set


def test_every_option_has_a_help_text():
    assert all(option.metadata["help"].endswith(".") for option in dataclasses.fields(RunConfig))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", "Did you mean 'epochs'"),
        ('epochs = "three"', "`epochs` must be a whole number"),
        ("epochs = 2.5", "`epochs` must be a whole number"),
        ("epochs = true", "`epochs` must be a whole number"),
        ("skip_broken = 1", "`skip_broken` must be true or false"),
        ("data = 3", "`data` must be text"),
        ('learning_rate = "1e-3"', "`learning_rate` must be a number"),
        ('hidden_units = ["a"]', "`hidden_units` must be a list of whole numbers"),
        ('block_rate = {head = "x"}', "`block_rate` must be a table of numbers"),
        ("epochs = 0", "`epochs` must be 1 or more"),
        ('strategy = "ful"', "Did you mean 'full'"),
        ("config_version = 4", "from a newer kerastl"),
        ("epochs =", "must be a TOML file"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as caught:
        config_file.read(written(tmp_path, text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"block_rate": {"head": -1.0}},
        {"dropout": 1.0},
        {"layerwise_decay": 1.5},
        {"validation_split": 0.6, "test_split": 0.4},
        {"hidden_units": (0,)},
        {"seed": -1},
    ],
)
def test_a_value_out_of_range_is_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        RunConfig(**options)


def test_an_unknown_choice_names_the_choices():
    with pytest.raises(UnknownNameError, match="Choices: torch, jax, tensorflow"):
        RunConfig(backend="numpy")


def test_the_command_line_wins_over_the_file():
    merged = config_file.merged({"epochs": 3, "seed": 7}, {"epochs": 5})
    assert (merged.epochs, merged.seed) == (5, 7)


FILE = {
    "backbone": "torchvision:resnet18",
    "strategy": "partial",
    "freeze_through": "layer2",
    "learning_rate": 0.01,
    "block_rate": {"layer4": 0.1},
    "image_size": 96,
}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"strategy": "full"}, {"freeze_through": None, "learning_rate": None, "block_rate": {}}),
        ({"strategy": "partial"}, {"freeze_through": "layer2", "learning_rate": 0.01}),
        ({"backbone": "keras:VGG16"}, {"freeze_through": None, "image_size": None}),
        ({"freeze_through": "layer3"}, {"strategy": "auto", "learning_rate": 0.01}),
        ({"learning_rate": 0.5}, {"learning_rate": 0.5, "block_rate": {"layer4": 0.1}}),
    ],
)
def test_what_the_file_settled_for_a_replaced_value_is_settled_anew(given, expected):
    merged = config_file.merged(FILE, given)
    assert {name: getattr(merged, name) for name in expected} == expected


@pytest.mark.parametrize(("text", "rgb"), [("white", (255, 255, 255)), ("#010203", (1, 2, 3))])
def test_a_background_is_a_name_or_a_number(text, rgb):
    assert configs.color(text) == rgb


def test_an_unknown_background_is_refused():
    with pytest.raises(ValueError, match="`background` must be the name of a colour"):
        configs.color("whitish")


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("multi_label = true\nregression = false", "multi-label"),
        ("multi_label = false\nregression = true", "regression"),
        ("multi_label = false\nregression = false", "classification"),
    ],
)
def test_the_file_of_an_older_run_says_its_task_in_two_options(tmp_path, text, task):
    assert RunConfig(**config_file.read(written(tmp_path, text))).task == task


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ("folder:{}/photos", 'data = "folder:../photos"'),
        ("csv:{}/photos/a.csv?label=kind", 'data = "csv:../photos/a.csv?label=kind"'),
        ("digits", 'data = "digits"'),
        ("tfds:mnist", 'data = "tfds:mnist"'),
    ],
)
def test_the_data_are_kept_relative_to_the_file_and_found_from_there(tmp_path, spec, line):
    spec = spec.format(tmp_path)
    (tmp_path / "run").mkdir()
    text = config_file.to_toml(RunConfig(data=spec), tmp_path / "run")
    assert line in text.splitlines()
    (tmp_path / "run" / "config.toml").write_text(text)
    assert config_file.read(tmp_path / "run" / "config.toml")["data"] == spec


def test_data_of_a_file_by_hand_are_beside_it_or_where_the_command_is_given(tmp_path, monkeypatch):
    (tmp_path / "files").mkdir()
    (tmp_path / "photos").mkdir()
    path = tmp_path / "files" / "mine.toml"
    path.write_text('data = "folder:photos"')
    monkeypatch.chdir(tmp_path)
    assert config_file.read(path)["data"] == "folder:photos"
    (tmp_path / "files" / "photos").mkdir()
    assert config_file.read(path)["data"] == f"folder:{tmp_path / 'files' / 'photos'}"


def test_data_of_an_older_run_are_where_the_command_is_given(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text('config_version = 2\ndata = "folder:photos"')
    assert config_file.read(path)["data"] == "folder:photos"


def test_weights_of_a_file_are_found_from_another_folder(tmp_path, monkeypatch):
    (tmp_path / "net.pth").touch()
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path)
    text = config_file.to_toml(RunConfig(weights="net.pth"), Path("run"))
    assert 'weights = "../net.pth"' in text.splitlines()
    (tmp_path / "run" / "config.toml").write_text(text)
    monkeypatch.chdir("/")
    assert config_file.read(tmp_path / "run" / "config.toml")["weights"] == str(
        tmp_path / "net.pth"
    )
