"""A checkpoint that a disk has changed is not resumed from."""

import json

import keras
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from kerastl.errors import DamagedFileError
from kerastl.runs import checkpoints
from kerastl.runs.checkpoint_digest import digest_of
from kerastl.runs.checkpoints import Progress


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    file = tmp_path_factory.mktemp("checkpoints") / "checkpoint.safetensors"
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    model.compile("adam", "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 4)), verbose=0)
    progress = Progress(1, 2, [{"loss": 1.0}, {"loss": 0.5, "val_loss": float("nan")}])
    best = [np.ones((2, 3), "float32"), np.zeros((0, 4), "float32"), np.array(3)]
    checkpoints.save(
        file, model, progress, config='data = "ü"\n', data="of a test", best_weights=best
    )
    return model, file


def test_a_checkpoint_is_read_back(written):
    model, file = written
    found = checkpoints.load(file)
    assert found.progress.phase == 1
    assert [weight.shape for weight in found.best_weights] == [(2, 3), (0, 4), ()]
    before = [np.array(variable) for variable in model.variables]
    checkpoints.restore(model, found)
    for variable, same in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(np.array(variable), same)


def test_every_flipped_bit_is_damage(written, tmp_path):
    _, file = written
    content = file.read_bytes()
    damaged = tmp_path / "checkpoint.safetensors"
    draws = np.random.default_rng(0)
    for place in [*range(16), *draws.integers(0, len(content), 200)]:
        flipped = bytearray(content)
        flipped[place] ^= 1 << draws.integers(8)
        damaged.write_bytes(bytes(flipped))
        with pytest.raises(DamagedFileError, match="is damaged"):
            checkpoints.load(damaged)


@pytest.mark.parametrize("size", [0, 7, 8, 100, -1])
def test_a_checkpoint_that_ends_early_is_damage(size, written, tmp_path):
    _, file = written
    (tmp_path / "x.safetensors").write_bytes(file.read_bytes()[:size])
    with pytest.raises(DamagedFileError, match="is damaged"):
        checkpoints.load(tmp_path / "x.safetensors")


def parts(file):
    with safe_open(file, "numpy") as opened:
        return opened.metadata(), {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118


def test_a_checkpoint_of_format_2_has_no_digest_and_is_read(written, tmp_path):
    metadata, tensors = parts(written[1])
    header = {**json.loads(metadata["kerastl"]), "format": 2}
    save_file(tensors, tmp_path / "old.safetensors", {"kerastl": json.dumps(header)})
    assert checkpoints.load(tmp_path / "old.safetensors").progress.phase_start == 2


def test_a_digest_cannot_be_left_out(written, tmp_path):
    metadata, tensors = parts(written[1])
    save_file(tensors, tmp_path / "x.safetensors", {"kerastl": metadata["kerastl"]})
    with pytest.raises(DamagedFileError, match="digest"):
        checkpoints.load(tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header.pop("config"),
        lambda header: header.pop("versions"),
        lambda header: header.update(format="2"),
        lambda header: header.update(progress=[]),
        lambda header: header.update(progress={"phases": 3}),
        lambda header: header.pop("format"),
    ],
)
def test_an_old_header_of_wrong_types_is_damage(change, written, tmp_path):
    metadata, tensors = parts(written[1])
    header = {**json.loads(metadata["kerastl"]), "format": 2}
    change(header)
    save_file(tensors, tmp_path / "x.safetensors", {"kerastl": json.dumps(header)})
    with pytest.raises(DamagedFileError, match="is damaged"):
        checkpoints.load(tmp_path / "x.safetensors")


def in_progress(**changed):
    return lambda header: header["progress"].update(changed)


@pytest.mark.parametrize(
    "change",
    [
        in_progress(steps="3"),
        in_progress(steps=-3, images=-12),
        in_progress(steps=3),
        in_progress(phase=-1),
        in_progress(phase=True),
        in_progress(phase_start=50),
        in_progress(epochs="abc"),
        in_progress(epochs=[{"loss": "low"}] * 2),
        in_progress(best={"a": 1}),
        in_progress(start=[1.0]),
        lambda header: header["random"].update(python=[1, 2, 3]),
        lambda header: header["random"].update(numpy=["x"]),
    ],
)
def test_a_header_that_no_run_writes_is_damage_whatever_its_digest(change, written, tmp_path):
    metadata, tensors = parts(written[1])
    header = json.loads(metadata["kerastl"])
    change(header)
    text = json.dumps(header)
    made = {"kerastl": text, "digest": digest_of(text, tensors)}
    save_file(tensors, tmp_path / "x.safetensors", made)
    with pytest.raises(DamagedFileError, match="is damaged"):
        checkpoints.load(tmp_path / "x.safetensors")
