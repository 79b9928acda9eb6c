"""HDF5 files that reach for others: every trick, at every door that opens such a file."""

import io
import zipfile

import h5py
import keras
import numpy as np
import pytest

import kerastl
from kerastl.backbones.keras_weights import load_file
from kerastl.errors import DamagedFileError, WeightsError
from kerastl.internals.hdf5 import check_hdf5_file

BIAS = "layers/torch_block/vars/features.0.bias"
SECRET = np.arange(7, dtype="float32")


def external_dataset(group, name, shape, secret):
    raw = secret.with_suffix(".raw")
    raw.write_bytes(np.resize(SECRET, shape).tobytes())
    group.create_dataset(name, shape, "float32", external=[(str(raw), 0, h5py.h5f.UNLIMITED)])


def external_link(group, name, shape, secret):
    with h5py.File(secret, "w") as file:
        file["numbers"] = np.resize(SECRET, shape)
    group[name] = h5py.ExternalLink(str(secret), "/numbers")


def virtual_dataset(group, name, shape, secret):
    with h5py.File(secret, "w") as file:
        file["numbers"] = np.resize(SECRET, shape)
    layout = h5py.VirtualLayout(shape, "float32")
    layout[...] = h5py.VirtualSource(str(secret), "numbers", shape)
    group.create_virtual_dataset(name, layout)


def soft_link(group, name, shape, secret):
    group.file["elsewhere"] = np.resize(SECRET, shape)
    group[name] = h5py.SoftLink("/elsewhere")


def soft_link_to_an_external_link(group, name, shape, secret):
    external_link(group.file, "elsewhere", shape, secret)
    group[name] = h5py.SoftLink("/elsewhere")


def hard_link(group, name, shape, secret):
    group.file["elsewhere"] = np.resize(SECRET, shape)
    group[name] = group.file["elsewhere"]


def ring(group, name, shape, secret):
    group[name] = np.resize(SECRET, shape)
    group["ring"] = group.file["/"]


def shape_bomb(group, name, shape, secret):
    group.create_dataset(name, (2**15, 2**15), "float32", chunks=(2**10, 2**10), compression="gzip")


TRICKS = (
    external_dataset,
    external_link,
    virtual_dataset,
    soft_link,
    soft_link_to_an_external_link,
    hard_link,
    ring,
    shape_bomb,
)


def replaced(file, path, trick, secret) -> None:
    """Put a trick in the place of one dataset of an HDF5 file."""
    with h5py.File(file, "r+") as opened:
        group, name = opened[path].parent, path.rpartition("/")[2]
        shape = group[name].shape
        del group[name]
        trick(group, name, shape, secret)


def datasets(file) -> list[str]:
    found = []
    with h5py.File(file, "r") as opened:
        opened.visititems(
            lambda path, value: found.append(path) if isinstance(value, h5py.Dataset) else None
        )
    return found


@pytest.fixture(scope="module")
def network():
    return keras.applications.MobileNet(
        alpha=0.25, include_top=False, weights=None, input_shape=(32, 32, 3)
    )


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("kind", ["legacy.h5", "new.weights.h5"])
def test_weights_for_a_keras_backbone_have_their_own_numbers(kind, trick, network, tmp_path):
    file = tmp_path / kind
    if kind == "legacy.h5":
        write_legacy(network, file)
    else:
        network.save_weights(file)
    if trick is TRICKS[0]:
        load_file(network, str(file), "keras:MobileNet")
    replaced(file, datasets(file)[3], trick, tmp_path / "secret.h5")
    with pytest.raises(WeightsError, match=r"Cannot read the weights file .* damaged"):
        load_file(network, str(file), "keras:MobileNet")


def write_legacy(network, file) -> None:
    """As Keras 2 wrote weights: names of layers and of weights in attributes."""
    layers = [layer for layer in network.layers if layer.weights]
    with h5py.File(file, "w") as opened:
        opened.attrs["layer_names"] = [layer.name.encode() for layer in layers]
        for layer in layers:
            group = opened.create_group(layer.name)
            values = [*layer.trainable_weights, *layer.non_trainable_weights]
            names = [f"{layer.name}/{number}:0" for number in range(len(values))]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, value in zip(names, values, strict=True):
                group[name] = keras.ops.convert_to_numpy(value)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    model = kerastl.ImageClassifier("torchvision:squeezenet1_1", 3, weights=None, image_size=32)
    model.save(folder / "model.keras")
    model.save_weights(folder / "model.weights.h5")
    return model, folder


@pytest.mark.parametrize("trick", TRICKS)
def test_a_model_file_has_its_own_numbers(trick, saved, tmp_path):
    _, folder = saved
    with zipfile.ZipFile(folder / "model.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    inner = tmp_path / "inner.h5"
    inner.write_bytes(members["model.weights.h5"])
    replaced(inner, BIAS, trick, tmp_path / "secret.h5")
    members["model.weights.h5"] = inner.read_bytes()
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(DamagedFileError, match="damaged"):
        kerastl.load_model(tmp_path / "model.keras")


@pytest.mark.parametrize("trick", TRICKS)
def test_load_weights_reads_no_other_file(trick, saved, tmp_path):
    model, folder = saved
    file = tmp_path / "their.weights.h5"
    file.write_bytes((folder / "model.weights.h5").read_bytes())
    model.load_weights(file)
    before = [np.array(weight) for weight in model.get_weights()]
    replaced(file, BIAS, trick, tmp_path / "secret.h5")
    with pytest.raises(DamagedFileError, match="damaged"):
        model.load_weights(file)
    for weight, same in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, same)


@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}, {"compression": "lzf"}])
def test_plain_numbers_of_every_kind_are_let_through(options, tmp_path):
    file = tmp_path / "plain.h5"
    with h5py.File(file, "w") as opened:
        opened.create_dataset("a/b/c", data=np.random.default_rng(0).random((50, 40)), **options)
        opened["scalar"], opened["empty"] = 3.0, np.zeros((0, 3))
        opened["text"] = "a word"
        opened.attrs["layer_names"] = [b"a"]
    check_hdf5_file(file)


def test_bytes_that_are_no_hdf5_are_damaged(tmp_path):
    (tmp_path / "x.h5").write_bytes(io.BytesIO(b"nothing").getvalue())
    with pytest.raises(DamagedFileError, match=r"x\.h5 is damaged"):
        check_hdf5_file(tmp_path / "x.h5")
