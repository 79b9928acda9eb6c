"""Model files that were made to do harm, and files that a disk has changed."""

import contextlib
import io
import json
import struct
import zipfile
import zlib

import keras
import numpy as np
import pytest

import kerastl
from kerastl.errors import DamagedFileError


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    """The entries of a model file."""
    file = tmp_path_factory.mktemp("saved") / "model.keras"
    model = kerastl.ImageClassifier(
        "torchvision:squeezenet1_1", 3, weights=None, image_size=32, hidden_units=(5,)
    )
    model.compile(metrics=["accuracy", keras.metrics.TopKCategoricalAccuracy(2)])
    model.save(file)
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def written(path, members, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def with_config(members, change):
    config = json.loads(members["config.json"])
    change(config)
    return {**members, "config.json": json.dumps(config).encode()}


def of_model(**values):
    return lambda config: config["config"].update(values)


def of_compile(**values):
    return lambda config: config["compile_config"].update(values)


def keras_object(module, class_name, **config):
    return {"module": module, "class_name": class_name, "config": config}


LARGE = {
    "num_classes": of_model(num_classes=10**9),
    "hidden_units": of_model(hidden_units=[10**6] * 3),
    "more_hidden_units": of_model(hidden_units=[5] * 10**5),
    "image_size": of_model(image_size=10**9),
    "image_size_text": of_model(image_size="32"),
    "backbone": of_model(backbone="torchvision:vit_h_14"),
    "regnet": of_model(backbone="torchvision:regnet_y_128gf"),
    "positions": of_model(backbone="torchvision:vit_b_16", image_size=9984),
    "width": of_model(backbone="keras:MobileNet?alpha=1000"),
    "multiplier": of_model(backbone="keras:MobileNet?alpha=0.1&depth_multiplier=1000000"),
    "lora": of_model(dense={"logits": {"quantization_mode": None, "quantization_config": None,
                                       "lora_rank": 10**9, "lora_alpha": 1}}),
    "thresholds": of_compile(metrics=[keras_object("keras.metrics", "AUC",
                                                   num_thresholds=10**9)]),
    "classes": of_compile(metrics=[keras_object("keras.metrics", "MeanIoU", num_classes=10**6)]),
    "weighted": of_compile(weighted_metrics=[
        keras_object("keras.metrics", "MeanIoU", num_classes=2000) for _ in range(50)]),
    "layer": of_compile(loss_weights={**keras_object("keras.layers", "Dense", units=10**5),
                                      "build_config": {"input_shape": [None, 10**6]}}),
    "nested": of_compile(loss=keras_object("keras.losses", "MeanSquaredError",
                         name=keras_object("keras", "Sequential", layers=[]))),
    "classifier": of_compile(loss={"module": "kerastl.model.classifier", "config": {},
                                   "class_name": "ImageClassifier",
                                   "registered_name": "kerastl>ImageClassifier"}),
    "text": of_compile(loss_weights={"class_name": "__numpy__",
                                     "config": {"value": ["a"], "dtype": "U100000000"}}),
    "lambda": of_compile(loss={"class_name": "__lambda__", "config": {"value": "eA=="}}),
}  # fmt: skip


@pytest.mark.parametrize("change", LARGE.values(), ids=LARGE)
def test_what_a_config_would_build_is_held_against_the_weights(
    change, members, tmp_path, monkeypatch
):
    def build(*args, **kwargs):
        raise AssertionError("a layer was built")

    monkeypatch.setattr(keras.layers.Dense, "build", build) if change not in OF_COMPILE else None
    path = written(tmp_path / "model.keras", with_config(members, change))
    with pytest.raises(DamagedFileError, match="damaged"):
        kerastl.load_model(path)


OF_COMPILE = [change for name, change in LARGE.items() if "compile" in change.__qualname__]


@pytest.mark.parametrize("where", ["weights", "blocks"])
@pytest.mark.parametrize("value", ["default", "/etc/hostname", "IMAGENET1K_V1", None])
def test_a_config_does_not_say_where_other_weights_are(where, value, members, tmp_path):
    path = written(tmp_path / "model.keras", with_config(members, of_model(**{where: value})))
    for opened in (kerastl.load_model, keras.saving.load_model):
        with pytest.raises(DamagedFileError, match="must not say where other weights are"):
            opened(path)


WRONG = [
    of_model(preprocessing=None),
    of_model(preprocessing={"scale": 1}),
    of_model(resizing=[]),
    of_model(frozen=7),
    of_model(batch_norm={"stem": 3}),
    of_model(class_names=[1, 2, 3]),
    of_model(temperature="hot"),
    of_model(dropout=[]),
    of_model(name={}),
    of_model(pooling=[1]),
    of_model(task=[]),
    of_model(dtype_policy=[]),
    of_model(dense={"logits": {}}),
    of_model(dense=3),
    of_model(backbone=3),
    of_model(versions=3, format=99),
    lambda config: config["config"].pop("frozen"),
    lambda config: config.update(config=[]),
    lambda config: config.update(compile_config=[1]),
    lambda config: config.update(compile_config={"optimizer": 3}),
    lambda config: config.update(compile_config={"optimizer": {"class_name": "Adam"}}),
    lambda config: config["compile_config"].pop("loss"),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_a_config_of_wrong_types_is_one_sentence(number, members, tmp_path):
    path = written(tmp_path / "model.keras", with_config(members, WRONG[number]))
    with contextlib.suppress(ValueError):  # and nothing else
        kerastl.load_model(path)


def test_how_a_step_is_run_is_not_the_files_to_say(members, tmp_path):
    change = of_compile(jit_compile=True, steps_per_execution=10**6)
    path = written(tmp_path / "model.keras", with_config(members, change))
    opened = kerastl.load_model(path)
    plain = kerastl.load_model(written(tmp_path / "plain.keras", members))
    assert (opened.jit_compile, opened.steps_per_execution) == (plain.jit_compile, 1)
    assert kerastl.load_model(path, safe_mode=False).jit_compile is True


def registered_loss():
    @keras.saving.register_keras_serializable("of_a_test")
    class Twice(keras.losses.MeanSquaredError):
        pass

    return Twice()


@pytest.mark.parametrize(
    "given",
    [
        {"loss": keras.losses.CategoricalCrossentropy(label_smoothing=0.1)},
        {"loss": "mse", "metrics": ["accuracy", "mae"], "weighted_metrics": ["mse"]},
        {"metrics": [keras.metrics.AUC(num_thresholds=300), keras.metrics.F1Score()]},
        {"optimizer": keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 10**9))},
        {"optimizer": "adamw", "loss": registered_loss(), "steps_per_execution": 1},
        {"loss_weights": [0.5]},
    ],
)
def test_what_people_compile_with_opens_again(given, tmp_path):
    model = kerastl.ImageClassifier("torchvision:squeezenet1_1", 3, weights=None, image_size=32)
    model.compile(**given)
    model.save(tmp_path / "model.keras")
    opened = kerastl.load_model(tmp_path / "model.keras")
    assert opened.get_compile_config() == model.get_compile_config()


@pytest.mark.parametrize("name", ["assets/bomb", "config.json", "model.weights.h5"])
def test_an_entry_that_grows_beyond_bounds_is_refused(name, members, tmp_path):
    grown = {**members, name: members.get(name, b"") + b" " * (8 * 10**7)}
    path = written(tmp_path / "model.keras", grown, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 4e6
    with pytest.raises(DamagedFileError, match="more than 20 times its size"):
        kerastl.load_model(path)


def test_a_file_that_somebody_packed_again_opens(members, tmp_path):
    path = written(tmp_path / "model.keras", members, compression=zipfile.ZIP_DEFLATED)
    assert kerastl.load_model(path).num_classes == 3


@pytest.mark.parametrize("name", ["/absolute", "../above", "a/../../b", "C:/x", "a\\..\\b"])
def test_names_that_lead_outside_are_refused(name, members, tmp_path):
    path = written(tmp_path / "model.keras", {**members, name: b"x"})
    with pytest.raises(DamagedFileError, match="an entry is named"):
        kerastl.load_model(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["config.json", "model.weights.h5", "assets/x"])
def test_an_entry_that_is_there_twice_is_refused(name, members, tmp_path):
    path = written(tmp_path / "model.keras", {**members, "assets/x": b""})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"another")
    with pytest.raises(DamagedFileError, match="there twice"):
        kerastl.load_model(path)


def test_entries_that_lie_over_each_other_are_refused(members, tmp_path):
    """As in David Fifield's bomb (2019): many names in the directory, one body in the file."""
    content = written(tmp_path / "model.keras", {**members, "assets/1": b"x" * 999}).read_bytes()
    archive = zipfile.ZipFile(io.BytesIO(content))
    info = archive.getinfo("assets/1")
    name = b"assets/2"
    entry = struct.pack(
        "<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 3, 20, 0, 0, 0, 0, 33, zlib.crc32(b"x" * 999),
        999, 999, len(name), 0, 0, 0, 0, 0, info.header_offset,
    ) + name  # fmt: skip
    at = content.rindex(b"PK\x05\x06")
    end = bytearray(content[at:])
    count, size = struct.unpack_from("<H", end, 10)[0], struct.unpack_from("<L", end, 12)[0]
    struct.pack_into("<HHL", end, 8, count + 1, count + 1, size + len(entry))
    (tmp_path / "model.keras").write_bytes(content[:at] + entry + bytes(end))
    with pytest.raises(DamagedFileError, match=r"lies over another|is not a \.keras file"):
        kerastl.load_model(tmp_path / "model.keras")


@pytest.mark.parametrize("content", [b"[" * 10**6, b"{" * 50, b"3", b"\xff", b'{"a":' * 500])
def test_a_config_that_is_no_config_is_refused(content, members, tmp_path):
    path = written(tmp_path / "model.keras", {**members, "config.json": content})
    with pytest.raises(DamagedFileError, match=r"is not a \.keras file, or it is damaged"):
        kerastl.load_model(path)


@pytest.mark.parametrize("place", np.linspace(0.001, 0.999, 12))
def test_a_flipped_bit_of_the_weights_is_damage(place, members, tmp_path):
    path = written(tmp_path / "model.keras", members)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo("model.weights.h5")
    start = entry.header_offset + 30 + len(entry.filename)
    content[start + int(place * entry.file_size)] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(DamagedFileError, match=r"is damaged .*CRC"):
        kerastl.load_model(path)


@pytest.mark.parametrize("size", [0, 10, 1000, -1, -1000])
def test_a_file_that_ends_early_is_damage(size, members, tmp_path):
    path = written(tmp_path / "model.keras", members)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DamagedFileError, match="damaged"):
        kerastl.load_model(path)
