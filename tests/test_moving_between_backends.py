"""A file of each backend on each other one: nine pairs, each in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

BACKENDS = ("torch", "jax", "tensorflow")
SCRIPT = Path(__file__).parent / "moving.py"


def start(backend, folder, *arguments):
    return subprocess.run(
        [sys.executable, str(SCRIPT), str(folder), *arguments],
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What each backend saved, and what each other one made of it."""
    folder = tmp_path_factory.mktemp("moving")
    for stage in ("save", "open"):
        for backend in BACKENDS:
            done = start(backend, folder, stage)
            assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("opened_on", BACKENDS)
@pytest.mark.parametrize("saved_on", BACKENDS)
def test_a_file_opens_on_every_backend_and_training_goes_on(folder, saved_on, opened_on):
    with np.load(folder / f"{saved_on}.npz") as file:
        predictions, next_loss = file["predictions"], float(file["next_loss"])
    with np.load(folder / f"{saved_on}-on-{opened_on}.npz") as file:
        np.testing.assert_allclose(file["predictions"], predictions, atol=1e-5)
        assert float(file["next_loss"]) == pytest.approx(next_loss, rel=1e-4)
        after = float(file["loss_after"])
    with np.load(folder / f"{saved_on}-on-{saved_on}.npz") as file:
        # The step in between has used the optimizer's moments.
        assert after == pytest.approx(float(file["loss_after"]), rel=1e-3)
    about = json.loads((folder / f"{saved_on}-on-{opened_on}.json").read_text())
    assert about["trainable"] == ["layer4", "head"]
    assert about["rates"] == pytest.approx({"layer4": 1e-4, "head": 1e-3})
    assert about["iterations"] == 2


def test_a_file_names_the_versions_that_wrote_it(folder):
    from zipfile import ZipFile

    import keras
    import torch
    import torchvision

    import kerastl

    with ZipFile(folder / "jax.keras") as archive:
        config = json.loads(archive.read("config.json"))["config"]
        assert not any(name.endswith((".pkl", ".pickle")) for name in archive.namelist())
    written = {name: version.partition("+")[0] for name, version in config["versions"].items()}
    assert written == {
        "kerastl": kerastl.__version__,
        "keras": keras.__version__,
        "torch": torch.__version__.partition("+")[0],
        "torchvision": torchvision.__version__.partition("+")[0],
    }
