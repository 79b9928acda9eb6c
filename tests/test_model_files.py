"""Files that are no model, or of another version; opening through plain Keras."""

import json
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

import kerastl


@pytest.fixture
def saved(tmp_path):
    model = kerastl.ImageClassifier("torchvision:squeezenet1_1", 3, weights=None, image_size=32)
    model.save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


def rewritten(path, member: str, change) -> None:
    """Change one JSON member of a `.keras` file."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    content = json.loads(members[member])
    change(content)
    members[member] = json.dumps(content).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


@pytest.mark.parametrize("content", [b"", b"not a zip", None])
def test_a_file_that_is_no_model_is_refused(tmp_path, content):
    path = tmp_path / "model.keras"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"is not a .keras file|There is no model file"):
        kerastl.load_model(path)


def test_another_keras_model_is_refused(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"must hold a model of kerastl. Received: Sequential"):
        kerastl.load_model(tmp_path / "model.keras")


def test_a_file_from_a_newer_kerastl_is_refused(saved):
    rewritten(saved, "config.json", lambda config: config["config"].update(format=99))
    with pytest.raises(ValueError, match=r"Received: format 99.*pip install --upgrade kerastl"):
        kerastl.load_model(saved)


def test_a_file_from_a_newer_keras_is_refused(saved):
    rewritten(saved, "metadata.json", lambda metadata: metadata.update(keras_version="99.0.0"))
    with pytest.raises(ValueError, match=r"saved with Keras 99.0.0, newer than.*upgrade keras"):
        kerastl.load_model(saved)


def test_a_damaged_file_is_refused(saved):
    data = saved.read_bytes()
    saved.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"is not a .keras file"):
        kerastl.load_model(saved)


@pytest.mark.slow
def test_plain_keras_opens_the_file_once_kerastl_is_imported(saved):
    images = np.zeros((2, 32, 32, 3), np.uint8)
    expected = kerastl.load_model(saved).predict(images, verbose=0)
    code = (
        "import keras, kerastl, numpy as np\n"
        f"model = keras.saving.load_model({str(saved)!r})\n"
        "images = np.zeros((2, 32, 32, 3), np.uint8)\n"
        "print(model.predict(images, verbose=0).tolist())"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    np.testing.assert_allclose(json.loads(finished.stdout), expected, atol=1e-6)
