"""SavedModel and LiteRT, which TensorFlow writes; the formats of torch, which it does not."""

import json
import zipfile

import keras
import numpy as np
import pytest
from spread import BACKBONES, CLASSES, SIZE, TINY, build

from kerastl.exporting import formats
from kerastl.exporting.export import export_model

pytestmark = pytest.mark.slow

only_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="written on TensorFlow"
)


@pytest.fixture
def pixels():
    shape = (5, SIZE, SIZE, 3)
    return np.random.default_rng(0).integers(0, 256, shape).astype("float32")


def run_saved_model(path, pixels):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return np.asarray(loaded.serve(tf.constant(pixels)))


def run_litert(path, pixels):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    (entry,) = interpreter.get_input_details()
    interpreter.resize_tensor_input(entry["index"], pixels.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(entry["index"], pixels)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


RUNTIMES = {"saved_model": run_saved_model, "litert": run_litert}


@only_tensorflow
@pytest.mark.parametrize(
    ("name", "spec"),
    # LiteRT files are made of SavedModels.
    [("saved_model", BACKBONES[0]), *(("litert", spec) for spec in BACKBONES)],
)
def test_a_file_gives_the_models_probabilities_for_any_batch_size(name, spec, pixels, tmp_path):
    model = build(spec)
    expected = model.predict(pixels, verbose=0)
    assert np.ptp(expected[:, 0]) > 0.1
    path = tmp_path / f"flowers{formats.FORMATS[name].ending}"
    report = export_model(model, path, format=name, images=pixels)
    assert report.max_difference < 1e-5
    for count in (1, 3, 5):
        np.testing.assert_allclose(
            RUNTIMES[name](path, pixels[:count]), expected[:count], atol=1e-5
        )


@only_tensorflow
def test_classes_and_sizes_are_beside_the_graph_of_a_saved_model(pixels, tmp_path):
    model = build("keras:MobileNet?alpha=0.25")
    path = tmp_path / "flowers"
    export_model(model, path, format="saved_model", images=pixels)
    found = json.loads((path / "assets.extra" / "kerastl.json").read_text())
    assert found["class_names"] == list(CLASSES)
    assert found["image_size"] == SIZE
    # Each weight once.
    assert (path / "variables" / "variables.data-00000-of-00001").stat().st_size < 1.2 * 4 * sum(
        np.prod(variable.shape) for variable in model.weights
    )
    # Written once more, it takes the place of the first.
    export_model(model, path, format="saved_model", images=pixels)
    assert [each.name for each in tmp_path.iterdir()] == ["flowers"]


@only_tensorflow
def test_a_folder_of_something_else_is_not_replaced(tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(ValueError, match="must be a new folder or an earlier export"):
        export_model(build(TINY), tmp_path, format="saved_model")
    assert (tmp_path / "precious.txt").read_text() == "mine"


@only_tensorflow
def test_classes_and_sizes_are_files_inside_a_litert_file(pixels, tmp_path):
    model = build(TINY)
    export_model(model, tmp_path / "a.tflite", format="litert", images=pixels)
    with zipfile.ZipFile(tmp_path / "a.tflite") as archive:
        assert archive.read("labels.txt").decode().split() == list(CLASSES)
        assert json.loads(archive.read("kerastl.json"))["image_size"] == SIZE


def test_what_another_backend_writes_is_refused_with_its_command(tmp_path):
    with pytest.raises(ValueError, match="--format onnx --backend torch"):
        export_model(build(TINY), tmp_path / "a.onnx", format="onnx")
