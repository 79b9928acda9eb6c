"""Keras Applications: the table, the cut into blocks, preprocessing, weights files."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format
from keras.src.utils import file_utils
from small_models import KERAS_FAMILIES, KERAS_SIZE, KERAS_SIZES

from kerastl.backbones import keras_applications
from kerastl.backbones.base import Backbone, Preprocessing
from kerastl.backbones.keras_table import MODELS
from kerastl.errors import WeightsError

REFUSED = "NASNetMobile"
BUILDABLE = [name for name in MODELS if name != REFUSED]
QUICK = ["ResNet50", "VGG16", "Xception", "MobileNet", "MobileNetV3Small", "EfficientNetB0"]


@pytest.fixture(autouse=True)
def _free_memory() -> Iterator[None]:
    yield
    keras.utils.clear_session()


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The networks that Keras's functions gave back, as `build` saw them."""
    networks: list[Any] = []
    for name in MODELS:
        original = getattr(keras.applications, name)
        monkeypatch.setattr(keras.applications, name, _recording(original, networks))
    return networks


def _recording(original: Callable[..., Any], networks: list[Any]) -> Callable[..., Any]:
    def function(*args: Any, **kwargs: Any) -> Any:
        networks.append(original(*args, **kwargs))
        return networks[-1]

    function.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
    return function


def _build(name: str, weights: str | None = None, **arguments: str) -> Backbone:
    return keras_applications.build(
        name, weights=weights, image_size=KERAS_SIZES.get(name, KERAS_SIZE), arguments=arguments
    )


def _compose(backbone: Backbone, x: Any) -> np.ndarray:
    for part in backbone.parts:
        x = part.network(x, training=False)
    return keras.ops.convert_to_numpy(x)


def _pixels(size: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (2, size, size, 3)).astype("float32")


def _preprocess(preprocessing: Preprocessing, pixels: np.ndarray) -> np.ndarray:
    ordered = pixels[..., ::-1] if preprocessing.channel_order == "bgr" else pixels
    return (ordered * preprocessing.scale - preprocessing.mean) / preprocessing.std


def _randomize(network: Any) -> None:
    generator = np.random.default_rng(1)
    for variable in network.weights:
        variable.assign(generator.uniform(0.5, 1.0, variable.shape))


def _save_legacy(network: Any, path: Path) -> str:
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, network)
    return str(path)


def _plain(name: str, **arguments: Any) -> Any:
    size = arguments.pop("size", KERAS_SIZE)
    arguments = {"include_top": False, "weights": None, **arguments}
    return getattr(keras.applications, name)(input_shape=(size, size, 3), **arguments)


def _assert_parts_are_the_network(backbone: Backbone, network: Any) -> None:
    variables = [id(v) for part in backbone.parts for v in part.network.variables]
    assert len(variables) == len(set(variables))
    assert set(variables) == {id(variable) for variable in network.variables}
    assert all(part.network.variables for part in backbone.parts)
    pixels = _pixels(backbone.image_size)
    wanted = keras.ops.convert_to_numpy(network(pixels, training=False))
    np.testing.assert_allclose(_compose(backbone, pixels), wanted, rtol=1e-5, atol=1e-6)


def test_the_table_is_what_keras_offers() -> None:
    offered = {
        name
        for name, value in vars(keras.applications).items()
        if inspect.isfunction(value) and name[0].isupper()
    }
    assert set(keras_applications.list_names()) == offered


def test_a_description_is_what_keras_publishes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    info = keras_applications.describe("MobileNetV2")
    assert info.spec == "keras:MobileNetV2"
    assert (info.num_parameters, info.image_size, info.top1) == (3_538_984, 224, 71.3)
    assert not info.weights_on_disk
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / MODELS["MobileNetV2"].weights_file).touch()
    assert keras_applications.describe("MobileNetV2").weights_on_disk


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILDABLE)
def test_the_published_number_of_parameters_and_size_are_those_of_the_whole_model(
    name: str,
) -> None:
    with keras.device("meta"):
        size = MODELS[name].image_size
        network = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3))
    assert network.count_params() == MODELS[name].num_parameters


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILDABLE)
def test_the_weights_file_and_its_address_are_those_that_keras_asks_for(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def get_file(fname: str, origin: str, **_: Any) -> None:
        asked.append((fname, origin))
        raise OSError("no network")

    monkeypatch.setattr(file_utils, "get_file", get_file)
    with keras.device("meta"), pytest.raises(WeightsError, match="by hand"):
        _build(name, "default")
    ((file, address),) = asked
    assert file == MODELS[name].weights_file
    assert address.startswith(MODELS[name].family.address)


@pytest.mark.parametrize(("name", "blocks"), KERAS_FAMILIES.items())
def test_the_blocks_of_each_family_are_named_after_its_stages(name: str, blocks: str) -> None:
    with keras.device("meta"):
        backbone = _build(name)
    assert [part.name for part in backbone.parts] == blocks.split()


@pytest.mark.parametrize("name", QUICK)
def test_the_blocks_together_are_the_network(name: str, built: list[Any]) -> None:
    _assert_parts_are_the_network(_build(name), built[-1])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in BUILDABLE if name not in QUICK])
def test_the_blocks_of_every_other_model_together_are_the_network(
    name: str, built: list[Any]
) -> None:
    _assert_parts_are_the_network(_build(name), built[-1])


def test_two_tensors_go_between_the_blocks_of_nasnet() -> None:
    with keras.device("meta"):
        backbone = _build("NASNetLarge")
    assert [part.name for part in backbone.parts] == ["stem", "stage1", "stage2", "stage3"]
    assert [len(part.network.inputs) for part in backbone.parts] == [1, 2, 2, 2]


def test_the_cut_refuses_a_graph_whose_blocks_are_joined_twice() -> None:
    from kerastl.backbones.keras_cut import cut
    from kerastl.backbones.keras_table import Family

    inputs = keras.Input((4,))
    first = keras.layers.Dense(4, name="first")(inputs)
    second = keras.layers.Dense(4, name="second")(first)
    third = keras.layers.Dense(4, name="third")(second)
    network = keras.Model(inputs, keras.layers.Add()([first, third]))
    family = Family({"stem": "second", "rest": ""}, "", rule="ends")
    with pytest.raises(ValueError, match="block stem must end in 1 tensor"):
        cut(network, family, "keras:Toy")
    family = Family({"stem": "fourth", "rest": ""}, "", rule="ends")
    with pytest.raises(ValueError, match="a layer must match the pattern 'fourth'"):
        cut(network, family, "keras:Toy")


@pytest.mark.parametrize("name", MODELS)
def test_preprocessing_equals_that_of_the_models_own_module(name: str) -> None:
    pixels = _pixels(8)
    own = sys.modules[getattr(keras.applications, name).__module__]
    wanted = own.preprocess_input(pixels.copy())
    received = _preprocess(MODELS[name].family.preprocessing, pixels)
    np.testing.assert_allclose(received, wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    "name",
    [
        "MobileNetV3Small",
        pytest.param("EfficientNetV2B0", marks=pytest.mark.slow),
        pytest.param("EfficientNetV2S", marks=pytest.mark.slow),
        "ConvNeXtTiny",
    ],
)
def test_preprocessing_outside_the_network_gives_the_same_features(name: str) -> None:
    inside, outside = _build(name), _build(name, include_preprocessing="false")
    for own, other in zip(outside.parts, inside.parts, strict=True):
        own.network.set_weights(other.network.get_weights())
    pixels = _pixels(KERAS_SIZE)
    wanted = _compose(inside, _preprocess(inside.preprocessing, pixels))
    received = _compose(outside, _preprocess(outside.preprocessing, pixels))
    np.testing.assert_allclose(received, wanted, rtol=1e-3, atol=1e-4)


def test_arguments_reach_keras_and_the_spec() -> None:
    backbone = _build("MobileNetV3Small", alpha="0.75", minimalistic="true")
    assert backbone.spec == "keras:MobileNetV3Small?alpha=0.75&minimalistic=true"
    assert backbone.parts[-1].network.output.shape[-1] == 432
    assert backbone.image_size == KERAS_SIZE
    assert (backbone.resizing.resize_size, backbone.resizing.crop_size) == (256, 224)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("MobileNet", {"widht": "1"}, "among: alpha, depth_multiplier, dropout. Received: widht"),
        ("ResNet50", {"classes": "5"}, "among: none. Received: classes"),
        ("MobileNet", {"alpha": "wide"}, "`alpha` must be a number"),
        ("ConvNeXtTiny", {"include_preprocessing": "1"}, "must be true or false"),
    ],
)
def test_wrong_arguments_are_refused(name: str, arguments: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _build(name, **arguments)


def test_an_image_size_that_the_network_cannot_take_is_refused_with_keras_reason() -> None:
    with pytest.raises(ValueError, match=r"image_size=16. Keras says: Input size must be at least"):
        keras_applications.build("MobileNet", weights=None, image_size=16, arguments={})


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="the torch backend's refusal")
def test_a_model_that_keras_refuses_on_torch_is_refused_with_its_reason() -> None:
    with pytest.raises(ValueError, match=r"Keras says: NASNetMobile is not .* tensorflow or jax"):
        _build(REFUSED)


def test_features_with_the_real_imagenet_file_are_those_of_plain_keras(
    mobilenet_file: Path,
) -> None:
    backbone = _build("MobileNet", str(mobilenet_file), alpha="0.25")
    plain = _plain("MobileNet", alpha=0.25, weights=str(mobilenet_file))
    pixels = _preprocess(backbone.preprocessing, _pixels(KERAS_SIZE)).astype("float32")
    wanted = keras.ops.convert_to_numpy(plain(pixels, training=False))
    np.testing.assert_allclose(_compose(backbone, pixels), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", ["legacy", "keras3"])
@pytest.mark.parametrize(
    ("name", "include_top"),
    [("MobileNet", False), ("MobileNet", True), ("MobileNetV3Small", True), ("ConvNeXtTiny", True)],
)
def test_a_local_file_loads_in_both_formats_and_without_its_classifier(
    name: str, form: str, include_top: bool, tmp_path: Path
) -> None:
    saved = _plain(name, include_top=include_top)
    _randomize(saved)
    path = tmp_path / "saved.weights.h5"
    if form == "legacy":
        _save_legacy(saved, path)
    else:
        saved.save_weights(path)
    backbone = _build(name, str(path))
    received = [value for part in backbone.parts for value in part.network.get_weights()]
    wanted = saved.get_weights()[: len(received)]
    for one, other in zip(received, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_whole_model_in_the_older_format_loads_with_its_names_in_pieces(tmp_path: Path) -> None:
    saved = _plain("MobileNet", alpha=0.25)
    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("model_weights")
        legacy_h5_format.save_weights_to_hdf5_group(group, saved)
        names = group.attrs.pop("layer_names")
        group.attrs["layer_names0"], group.attrs["layer_names1"] = names[:9], names[9:]
    backbone = _build("MobileNet", str(path), alpha="0.25")
    np.testing.assert_array_equal(
        backbone.parts[0].network.get_weights()[0], saved.get_weights()[0]
    )


@pytest.mark.parametrize("form", ["legacy", "keras3"])
@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [("MobileNet", {"alpha": 0.5}, "of another shape: "), ("VGG16", {}, "missing: .*unexpected: ")],
)
def test_a_file_of_another_model_is_refused_with_a_report(
    form: str, name: str, arguments: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "other.weights.h5"
    other = _plain(name, **arguments)
    _save_legacy(other, path) if form == "legacy" else other.save_weights(path)
    with pytest.raises(WeightsError, match=message) as caught:
        _build("MobileNet", str(path), alpha="0.25")
    assert "Nothing was loaded" in str(caught.value)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("weights.pth", "must end in .h5.*torchvision:"),
        ("weights.safetensors", "must end in .h5"),
        ("absent.h5", "must name an existing file"),
        ("broken.h5", "Cannot read the weights file"),
        ("empty.h5", "must end in .weights.h5"),
    ],
)
def test_a_file_that_holds_no_keras_weights_is_refused(
    file: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "broken.h5").write_bytes(b"not an HDF5 file")
    h5py.File(tmp_path / "empty.h5", "w").close()
    with pytest.raises(WeightsError, match=message):
        _build("MobileNet", str(tmp_path / file), alpha="0.25")


def test_the_name_of_torchvision_weights_is_refused() -> None:
    with pytest.raises(WeightsError, match="must be default, imagenet, none or a local"):
        _build("MobileNet", "IMAGENET1K_V2")


def test_a_failed_download_names_file_address_place_and_option(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def get_file(fname: str, origin: str, **_: Any) -> None:
        raise Exception(f"URL fetch failure on {origin}: None -- [Errno -3] No such host")

    monkeypatch.setattr(file_utils, "get_file", get_file)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(WeightsError) as caught:
        _build("MobileNet", "default", alpha="0.25")
    file = "mobilenet_2_5_224_tf_no_top.h5"
    address = MODELS["MobileNet"].family.address + file
    assert str(caught.value) == (
        f"Cannot download the weights {file} from {address}: [Errno -3] No such host. "
        f"Put the file at {tmp_path / 'models' / file} by hand, or pass --weights PATH."
    )


def test_arguments_without_published_weights_are_refused_with_keras_reason() -> None:
    with pytest.raises(ValueError, match="alpha can be one of"):
        _build("MobileNet", "default", alpha="0.3")


@pytest.mark.slow
def test_published_efficientnet_weights_give_plain_keras_features_in_the_same_layers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    saved = _plain("EfficientNetB0")
    normalization = next(x for x in saved.layers if isinstance(x, keras.layers.Normalization))
    statistics = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225], 0)
    normalization.set_weights([np.array(value) for value in statistics])
    path = _save_legacy(saved, tmp_path / "efficientnetb0_notop.h5")
    monkeypatch.setattr(file_utils, "get_file", lambda *_, **__: path)
    pixels = _pixels(KERAS_SIZE)
    plain = _plain("EfficientNetB0", weights="imagenet")
    wanted = keras.ops.convert_to_numpy(plain(pixels, training=False))
    for weights in ("default", path):
        backbone = _build("EfficientNetB0", weights)
        received = _compose(backbone, pixels)
        np.testing.assert_allclose(received, wanted, rtol=1e-3, atol=1e-5 * np.abs(wanted).max())
        own_layers = sum(len(part.network.layers) - 1 for part in backbone.parts)
        assert own_layers == len(saved.layers) - 1 == len(plain.layers) - 2
