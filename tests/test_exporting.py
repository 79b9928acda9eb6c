"""Files for other runtimes, opened by these runtimes without a line of kerastl."""

import json
import re
import zipfile

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from small_models import tiny_resnet
from spread import BACKBONES, CLASSES, SIZE, TINY, build, tiny

import kerastl
from kerastl.exporting import (
    checking,
    description,
    formats,
    onnx_file,
    openvino_file,
    torch_program,
)
from kerastl.exporting.export import export_model


@pytest.fixture(scope="module")
def model():
    return build(TINY)


@pytest.fixture
def pixels(images):
    return images[:5].astype("float32")


def run_torch(path, pixels):
    with torch.no_grad():
        return torch.export.load(path).module()(torch.from_numpy(pixels)).numpy()


def run_onnx(path, pixels):
    return onnxruntime.InferenceSession(path).run(None, {"images": pixels})[0]


def run_openvino(path, pixels):
    openvino = openvino_file.openvino_without_telemetry()
    network = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return network(pixels)[0]


RUNTIMES = {
    "torch": (".pt2", run_torch),
    "onnx": (".onnx", run_onnx),
    "openvino": (".xml", run_openvino),
}


@pytest.mark.parametrize(
    "spec", [TINY, *(pytest.param(spec, marks=pytest.mark.slow) for spec in BACKBONES)]
)
@pytest.mark.parametrize("name", RUNTIMES)
def test_a_file_gives_the_models_probabilities_for_any_batch_size(name, spec, pixels, tmp_path):
    ending, run = RUNTIMES[name]
    model = build(spec)
    expected = model.predict(pixels, verbose=0)
    assert np.ptp(expected[:, 0]) > 0.1
    report = export_model(model, tmp_path / f"flowers{ending}", format=name, images=pixels)
    assert report.path == tmp_path / f"flowers{ending}"
    assert report.max_difference < 1e-5
    assert report.num_images == 5
    for count in (1, 3, 5):
        found = run(report.path, pixels[:count])
        np.testing.assert_allclose(found, expected[:count], atol=1e-5)


def test_classes_and_sizes_are_in_the_metadata_of_onnx(model, tmp_path):
    export_model(model, tmp_path / "a.onnx", format="onnx")
    found = {each.key: each.value for each in onnx.load(tmp_path / "a.onnx").metadata_props}
    assert json.loads(found["class_names"]) == list(CLASSES)
    assert found["image_size"] == "32"
    assert found["resize"] == "crop"
    assert "pixels 0-255" in found["input"]
    assert onnx_file.described(tmp_path / "a.onnx") == description.description_of(model)


def test_classes_and_sizes_are_in_an_extra_file_of_torch(model, tmp_path):
    export_model(model, tmp_path / "a.pt2", format="torch")
    inside = {"kerastl.json": ""}
    torch.export.load(tmp_path / "a.pt2", extra_files=inside)
    found = json.loads(inside["kerastl.json"])
    assert found["class_names"] == list(CLASSES)
    assert found["image_size"] == 32
    assert found == description.description_of(model)


def test_classes_and_sizes_are_in_the_runtime_information_of_openvino(model, tmp_path):
    export_model(model, tmp_path / "a.xml", format="openvino")
    openvino = openvino_file.openvino_without_telemetry()
    network = openvino.Core().read_model(tmp_path / "a.xml")
    assert json.loads(network.get_rt_info(["kerastl", "class_names"]).value) == list(CLASSES)
    assert network.get_rt_info(["kerastl", "resize"]).value == "crop"
    assert [each.any_name for each in network.inputs] == ["images"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torch", "onnx"])
def test_a_model_of_mixed_precision_becomes_a_file_in_float32(name, pixels, tmp_path):
    ending, run = RUNTIMES[name]
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build("keras:MobileNet?alpha=0.25")
    finally:
        keras.config.set_dtype_policy("float32")
    rounded = model.predict(pixels, verbose=0)
    report = export_model(model, tmp_path / f"a{ending}", format=name, images=pixels)
    assert report.computed_in == "mixed_bfloat16"
    assert report.max_difference < 1e-5
    exact = build("keras:MobileNet?alpha=0.25")
    exact.set_weights(model.get_weights())
    expected = exact.predict(pixels, verbose=0)
    np.testing.assert_allclose(run(report.path, pixels), expected, atol=1e-5)
    assert np.abs(rounded - expected).max() > 1e-5
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.slow
def test_a_trained_model_with_frozen_blocks_and_a_cache_is_exported_whole(
    images, labels, pixels, tmp_path
):
    model = build(tiny_resnet())
    model.freeze(through="layer3")
    model.compile(learning_rate=1e-3)
    model.fit(images, labels % 3, epochs=2, verbose=0, cache="memory")
    assert "in memory" in model.cache_report
    report = export_model(model, tmp_path / "a.pt2", format="torch", images=pixels)
    expected = model.predict(pixels, verbose=0)
    np.testing.assert_allclose(run_torch(report.path, pixels), expected, atol=1e-5)
    # Each weight once, and nothing of the optimizer or the folded prefix.
    with zipfile.ZipFile(report.path) as archive:
        tensors = [
            each for each in archive.infolist() if re.search("/data/.*_[0-9]+$", each.filename)
        ]
    weights = 4 * sum(np.prod(variable.shape) for variable in model.weights)
    assert len(tensors) >= len(model.weights)
    assert sum(each.file_size for each in tensors) < 1.01 * weights


@pytest.mark.parametrize("name", ["torch", "onnx"])
def test_a_file_names_nothing_of_this_machine(name, model, tmp_path):
    report = export_model(model, tmp_path / f"a{RUNTIMES[name][0]}", format=name)
    content = report.path.read_bytes()
    here = kerastl.__file__.removesuffix("__init__.py").encode()
    packages = torch.__file__.removesuffix("torch/__init__.py").encode()
    assert here not in content
    assert packages not in content


def test_a_file_that_differs_is_an_error_and_the_one_before_it_stays(model, tmp_path, monkeypatch):
    path = tmp_path / "a.pt2"
    path.write_bytes(b"of before")
    opened = torch_program.opened
    monkeypatch.setattr(torch_program, "opened", lambda file: lambda x: opened(file)(x) + 2e-4)
    with pytest.raises(RuntimeError, match=r"to 0\.0001\. Received: a difference of 2\.0e-04"):
        export_model(model, path, format="torch")
    assert path.read_bytes() == b"of before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_that_fails_is_one_sentence_and_leaves_nothing(model, tmp_path, monkeypatch):
    def fail(*_):
        raise KeyError("an operation\nand much more")

    monkeypatch.setattr(torch_program, "write", fail)
    with pytest.raises(RuntimeError, match=r"cannot be written as torch: .*Take another format"):
        export_model(model, tmp_path / "a.pt2", format="torch")
    assert not list(tmp_path.iterdir())


def test_numbers_that_are_not_finite_are_never_near(pixels):
    expected = np.full((5, 3), 1 / 3, "float32")
    nan = np.full((5, 3), np.nan, "float32")
    assert checking.largest_difference(lambda x: expected[: len(x)], pixels, expected) == 0
    assert checking.largest_difference(lambda x: nan[: len(x)], pixels, expected) == np.inf


def test_a_file_of_one_batch_size_does_not_pass(pixels):
    def only_four(images):
        if len(images) != 4:
            raise ValueError("Got: 1 Expected: 4")
        return np.zeros((4, 3))

    with pytest.raises(ValueError, match="Expected: 4"):
        checking.largest_difference(only_four, pixels, np.zeros((5, 3)))


def test_sample_images_are_photographs_and_always_the_same():
    first, second = checking.sample_images(SIZE), checking.sample_images(SIZE)
    assert first.shape == (checking.NUM_IMAGES, SIZE, SIZE, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, second)
    assert len({image.tobytes() for image in first}) == checking.NUM_IMAGES


@pytest.mark.parametrize(
    ("path", "arguments", "message"),
    [
        ("a.onnx", {"format": "onx"}, "Did you mean 'onnx'"),
        ("a.onnx", {"format": "torch"}, r"`path` must end in \.pt2"),
        (
            "a.tflite",
            {"format": "litert"},
            "must be written on the tensorflow backend.*--format litert --backend tensorflow",
        ),
        ("a.pt2", {"format": "torch", "images": np.zeros((2, 8, 8, 3))}, "`images` must have"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(path, arguments, message, model, tmp_path):
    with pytest.raises(ValueError, match=message):
        export_model(model, tmp_path / path, **arguments)
    assert not list(tmp_path.iterdir())


def test_only_classifiers_are_exported(tmp_path):
    with pytest.raises(TypeError, match="Received: Sequential"):
        export_model(keras.Sequential([]), tmp_path / "a.pt2", format="torch")


def test_a_runtime_that_is_missing_is_named_with_its_command(model, tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "find_spec", lambda name: None if name == "onnxruntime" else name)
    with pytest.raises(ValueError, match=r'needs onnxruntime\. Run `pip install "kerastl\[export'):
        export_model(model, tmp_path / "a.onnx", format="onnx")


def test_a_module_of_ones_own_is_exported_in_float32_only(pixels, tmp_path):
    model = kerastl.ImageClassifier(tiny(), 3, weights=None, image_size=SIZE)
    report = export_model(model, tmp_path / "a.pt2", format="torch", images=pixels)
    assert report.max_difference < 1e-5
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = kerastl.ImageClassifier(tiny(), 3, weights=None, image_size=SIZE)
    finally:
        keras.config.set_dtype_policy("float32")
    with pytest.raises(ValueError, match="must compute in float32"):
        export_model(mixed, tmp_path / "a.pt2", format="torch", images=pixels)
