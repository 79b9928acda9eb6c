"""Code that a file names runs only where the command line says so: every command, every file."""

import copy
import dataclasses
import json
import pickle
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import kerastl
from kerastl.backbones import foreign_code, registry
from kerastl.commands import main
from kerastl.evaluation.run_record import RunResults
from kerastl.runs import checkpoints, config_file, training
from kerastl.runs.checkpoints import Progress
from kerastl.runs.config import RunConfig

SPEC = "module:canary_of_a_test:build"
QUICK = ("--workers", "0", "--epochs", "1")


def command(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """A module that leaves a mark when it is imported, and another when it is called."""
    (tmp_path / "canary_of_a_test.py").write_text(
        "from pathlib import Path\n"
        f"marks = Path({str(tmp_path)!r})\n"
        "(marks / 'imported').touch()\n"
        "def build(**arguments):\n"
        "    (marks / 'called').touch()\n"
        "    raise ValueError('the canary sings')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "canary_of_a_test", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sang(folder) -> set[str]:
    return {name for name in ("imported", "called") if (folder / name).exists()}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model file whose backbone is the canary."""
    file = tmp_path_factory.mktemp("models") / "model.keras"
    made = kerastl.ImageClassifier("torchvision:squeezenet1_1", 2, weights=None, image_size=32)
    made.save(file)
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    config["config"]["backbone"] = SPEC
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return made, file


@pytest.fixture
def files(canary, model, pictures):
    """A run folder from somebody else: every file in it names the canary."""
    made, file = model
    folder = canary / "theirs"
    folder.mkdir()
    config = RunConfig(data=f"folder:{pictures}", backbone=SPEC, image_size=32, output="theirs")
    text = config_file.to_toml(config, folder)
    (folder / "config.toml").write_text(text)
    (folder / "model.keras").write_bytes(file.read_bytes())
    (folder / "metrics.json").write_text("{}")
    made.compile()
    checkpoints.save(
        folder / "checkpoint.safetensors", made, Progress(), config=text, data="of a test"
    )
    torch.save({"weight": Calls(str(canary / "called"))}, folder / "weights.pth")
    return folder


class Calls:
    """Leaves the canary's mark when a pickle of it is opened with pickle's code."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


IMAGE = "PICTURES/dark/0.png"
WALK = {
    "run": [
        ("--config", "FOLDER/config.toml", "--output", "mine", *QUICK),
        ("--config", "FOLDER/config.toml", "--data", "digits", "--output", "mine"),
        ("--resume", "FOLDER"),
        ("--weights", "FOLDER/weights.pth", "--image-size", "32", "--output", "mine"),
    ],
    "plan": [
        ("--config", "FOLDER/config.toml", "--output", "mine"),
        ("--config", "FOLDER/config.toml", "--output", "mine", "--write", "mine.toml"),
    ],
    "find-rate": [("--config", "FOLDER/config.toml", "--output", "mine")],
    "compare": [("--config", "FOLDER/config.toml", "--output", "mine", "--backends", "torch,jax")],
    "evaluate": [("FOLDER",), ("FOLDER/model.keras", "--data", "digits"), ("FOLDER", "FOLDER")],
    "predict": [("FOLDER", IMAGE), ("FOLDER/model.keras", IMAGE)],
    "embed": [("FOLDER", IMAGE, "--output", "mine.npz")],
    "export": [("FOLDER", "--format", "torch", "--output", "mine.pt2")],
    "pick": [
        ("--data", "folder:PICTURES", "--weights", "torchvision:resnet18=FOLDER/weights.pth",
         "--backbones", "torchvision:resnet18", "--image-size", "32", "--minutes", "0.1"),
    ],
    "check": [
        ("folder:PICTURES", "--weights", "FOLDER/weights.pth", "--output", "mine.html",
         "--backbone", "torchvision:resnet18", "--image-size", "32"),
    ],
    "backbones": [],  # these three open no file that is named
    "blocks": [],
    "cache": [],
}  # fmt: skip
OPENS_WEIGHTS = "weights.pth"


def arguments_of(given, folder, pictures):
    return [
        each.replace("FOLDER", str(folder)).replace("PICTURES", str(pictures)) for each in given
    ]


def test_every_command_is_walked():
    assert set(WALK) == set(main.commands)


@pytest.mark.parametrize(
    ("name", "given"), [(name, given) for name, cases in WALK.items() for given in cases]
)
def test_no_command_runs_code_that_a_file_names(name, given, files, canary, pictures):
    done = command(name, *arguments_of(given, files, pictures))
    assert sang(canary) == set()
    assert done.exit_code == 1, done.output
    assert "Traceback" not in done.output
    opens_weights = any(OPENS_WEIGHTS in each for each in given)
    assert ("--no-safe-mode" in done.stderr) is not opens_weights, done.output
    assert not (canary / "mine.toml").exists()
    assert not (canary / "mine").exists() or not any((canary / "mine").iterdir())


@pytest.mark.parametrize(
    ("name", "given"),
    [
        (name, given)
        for name, cases in WALK.items()
        for given in cases
        if not any(OPENS_WEIGHTS in each for each in given) and name != "compare"
    ],
)
def test_each_command_runs_it_once_it_is_allowed(name, given, files, canary, pictures):
    done = command(name, *arguments_of(given, files, pictures), "--no-safe-mode")
    assert sang(canary) == {"imported", "called"}
    assert "the canary sings" in done.output


@pytest.mark.parametrize("name", ["run", "plan", "find-rate"])
def test_code_named_on_the_command_line_is_the_users_own(name, files, canary):
    done = command(name, "--config", files / "config.toml", "--backbone", SPEC, "--output", "mine")
    assert sang(canary) == {"imported", "called"}
    assert "the canary sings" in done.output


def test_a_backbone_of_the_command_line_stands_in_for_that_of_a_file(files, canary):
    done = command(
        "plan", "--config", files / "config.toml", "--backbone", "torchvision:squeezenet1_1",
        "--weights", "none", "--output", "mine",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert sang(canary) == set()


def test_python_asks_too(files, canary):
    for opened in (
        lambda: kerastl.load_model(files / "model.keras"),
        lambda: training.to_resume(files),
        lambda: registry.build(
            config_file.read(files / "config.toml")["backbone"], weights=None, image_size=32
        ),
        lambda: kerastl.ImageClassifier(config_file.read(files / "config.toml")["backbone"], 2),
    ):
        with pytest.raises(ValueError, match=r"--no-safe-mode .* safe_mode=False"):
            opened()
    assert sang(canary) == set()


@pytest.mark.parametrize(
    "copied",
    [
        lambda config: config,
        lambda config: RunConfig(**vars(config)),
        lambda config: pickle.loads(pickle.dumps(config)),
        lambda config: copy.deepcopy(config),
        lambda config: dataclasses.replace(config, epochs=3),
        lambda config: RunConfig(**dataclasses.asdict(config)),
    ],
)
def test_where_a_spec_came_from_is_known_in_every_copy_of_the_options(copied, files, canary):
    config = copied(RunConfig(**config_file.read(files / "config.toml")))
    with pytest.raises(ValueError, match=r"config\.toml is Python code to import"):
        foreign_code.check(config.backbone)


def test_a_spec_of_no_code_is_taken_from_a_file(tmp_path):
    (tmp_path / "config.toml").write_text('backbone = "torchvision:squeezenet1_1"\n')
    spec = config_file.read(tmp_path / "config.toml")["backbone"]
    foreign_code.check(spec)
    assert registry.build(spec, weights=None, image_size=32).parts


def test_a_run_of_ones_own_module_says_how_to_go_on(files):
    config = RunConfig(backbone=SPEC, output="mine")
    measured = RunResults(train={"loss": 1.0}, completed=False, epochs=1)
    assert training.stopped_sentence(config, measured).endswith("--resume mine --no-safe-mode")
