"""`kerastl evaluate` and `predict` by the names of the classes."""

import re

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import kerastl
from kerastl.commands import main

SIZE = 32


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model that tells dark, medium and light images apart by one number, in this order."""
    model = kerastl.ImageClassifier(
        "torchvision:squeezenet1_1", 3, weights=None, image_size=SIZE, resize="squash",
        class_names=("light", "dark", "medium"),
    )  # fmt: skip
    shades = np.array([230, 20, 120]).repeat(6)
    noise = np.random.default_rng(0).integers(-15, 16, (18, SIZE, SIZE, 3))
    images = (shades[:, None, None, None] + noise).astype("uint8")
    keras.utils.set_random_seed(0)
    model.solve_head(images, np.arange(3).repeat(6), penalty=1e-3)
    file = tmp_path_factory.mktemp("saved") / "model.keras"
    model.save(file)
    return file


def write(folder, **shades):
    draw = np.random.default_rng(1)
    for name, shade in shades.items():
        (folder / name).mkdir(parents=True)
        for number in range(3):
            pixels = shade + draw.integers(-15, 16, (SIZE, SIZE, 3))
            Image.fromarray(pixels.astype("uint8")).save(folder / name / f"{number}.png")
    return f"folder:{folder}"


def kerastl_(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.mark.slow
def test_evaluate_matches_the_classes_of_a_folder_by_name(saved, tmp_path):
    # A folder's classes are in the order of the alphabet, the model's are not.
    whole = kerastl_(
        "evaluate", saved, "--data", write(tmp_path / "a", dark=20, light=230, medium=120)
    )
    assert whole.exit_code == 0, whole.output
    assert re.search(r"accuracy\s+1\.0", whole.stdout)
    some = kerastl_("evaluate", saved, "--data", write(tmp_path / "b", dark=20, medium=120))
    assert some.exit_code == 0, some.output
    assert re.search(r"accuracy\s+1\.0", some.stdout)
    assert "Classes without images in the data: light." in some.stdout


def test_evaluate_refuses_other_names_with_both_lists(saved, tmp_path):
    told = kerastl_("evaluate", saved, "--data", write(tmp_path, dark=20, bright=230))
    assert told.exit_code == 1
    assert "only in the data: bright; only in the model: light, medium" in told.stderr
    assert "The model has light, dark, medium; the data have bright, dark" in told.stderr


def test_predict_names_the_models_classes(saved, tmp_path):
    write(tmp_path, light=230, dark=20)
    told = kerastl_("predict", saved, tmp_path / "light" / "0.png", tmp_path / "dark" / "0.png")
    assert told.exit_code == 0, told.output
    first, second = told.stdout.splitlines()
    assert "0.png: light" in first
    assert "0.png: dark" in second
