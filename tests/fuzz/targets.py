"""What is fuzzed: a good file of each kind, how it is damaged, and what opens it.

An input is a target and a number; the number is the seed, so that it can be made again.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save_file

import kerastl
from kerastl.backbones.weights import read_torch_file
from kerastl.data import load_image, split_file
from kerastl.evaluation import run_record
from kerastl.internals.hdf5 import check_hdf5_file
from kerastl.runs import checkpoints, config_file
from kerastl.runs.checkpoints import Progress
from kerastl.runs.config import RunConfig


@dataclass(frozen=True)
class Target:
    """A kind of file.

    Attributes:
        name: What the file is called.
        good: Writes a good one.
        opened: Opens a file.
        content: Of a file that has a checksum, the arrays in what `opened` gave: if it opens,
            they are those of the good one.
    """

    name: str
    good: Callable[[Path], object]
    opened: Callable[[Path], Any]
    content: Callable[[Any], Sequence[np.ndarray]] | None = None


def _image(kind: str) -> Target:
    def good(path: Path) -> None:
        pixels = np.random.default_rng(0).integers(0, 255, (40, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)

    return Target(f"image.{kind}", good, lambda path: load_image(path, image_size=16))


def _keras(path: Path) -> None:
    model = kerastl.ImageClassifier("torchvision:squeezenet1_1", 3, weights=None, image_size=32)
    model.compile()
    model.save(path)


def _checkpoint(path: Path) -> None:
    import keras

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    model.compile("adam", "mse")
    checkpoints.save(path, model, Progress(), config='data = "x"\n', data="of a test")


def _hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["layers/a/vars/0"], file["layers/a/vars/1"] = np.ones((20, 3)), np.zeros(3)
        file.create_dataset("packed", data=np.zeros((50, 50)), compression="gzip")
        file.attrs["layer_names"] = [b"a", b"b"]


_STATE = {"weight": torch.arange(60.0), "bias": torch.ones(3)}

TARGETS = {
    **{f"image_{kind}": _image(kind) for kind in ("png", "jpg", "gif", "bmp", "webp", "tiff")},
    "model": Target("model.keras", _keras, kerastl.load_model, lambda made: made.get_weights()),
    "checkpoint": Target(
        "checkpoint.safetensors",
        _checkpoint,
        checkpoints.load,
        lambda made: [made.arrays[name] for name in sorted(made.arrays)],
    ),
    "torch": Target(
        "net.pth", lambda path: torch.save(_STATE, path), lambda path: read_torch_file(str(path))
    ),
    "safetensors": Target(
        "net.safetensors",
        lambda path: save_file({"a": np.ones(9)}, path),
        lambda path: read_torch_file(str(path)),
    ),
    "hdf5": Target("net.h5", _hdf5, check_hdf5_file),
    "config": Target(
        "config.toml",
        lambda path: path.write_text(config_file.to_toml(RunConfig(epochs=3), path.parent)),
        config_file.read,
    ),
    "split": Target(
        "split.csv",
        lambda path: split_file.save(
            path, [split_file.SplitRow(f"a/{n}.png", "train", "a", "ab" * 16) for n in range(9)]
        ),
        split_file.load,
    ),
    "metrics": Target(
        "metrics.json",
        lambda path: run_record.save_metrics(
            path.parent, run_record.RunResults(test={"accuracy": 0.5}, class_names=["a", "b"])
        ),
        lambda path: run_record.load_metrics(path.parent),
    ),
    "history": Target(
        "history.csv",
        lambda path: run_record.save_history(path.parent, [{"loss": 2.0}, {"loss": 1.5}]),
        lambda path: run_record.load_history(path.parent),
    ),
}


def damaged(content: bytes, seed: int) -> bytes:
    """The content with bits flipped, bytes put in or taken out, its end cut off, or a part moved.

    Every second input of a zip archive has its config changed instead, with right checksums.
    """
    draws = np.random.default_rng(seed)
    if content[:2] == b"PK" and seed % 2 and b"config.json" in content:
        return _with_other_config(content, draws)
    changed = bytearray(content)
    for _ in range(int(draws.integers(1, 5))):
        place, length = int(draws.integers(len(changed) + 1)), int(draws.integers(1, 64))
        kind = draws.integers(6)
        if kind == 0 and changed:
            changed[place % len(changed)] ^= 1 << int(draws.integers(8))
        elif kind == 1:
            changed[place:place] = draws.bytes(length)
        elif kind == 2:
            del changed[place : place + length]
        elif kind == 3:
            changed[place : place + length] = draws.choice([b"\0", b"\xff"]) * length
        elif kind == 4:
            changed[place : place + length] = changed[: int(length)]
        elif place > len(changed) // 2:
            del changed[place:]
    return bytes(changed)


_VALUES = (None, -1, 0, 1e308, 10**30, "", "default", "module:os:system", [], {}, [[]], True, "/")


def _with_other_config(content: bytes, draws: np.random.Generator) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            member = old.read(name)
            if name == "config.json":
                config = json.loads(member)
                place = config
                while True:
                    keys = list(place) if isinstance(place, dict) else list(range(len(place)))
                    key = keys[int(draws.integers(len(keys)))]
                    if not isinstance(place[key], dict | list) or not place[key]:
                        break
                    if draws.integers(4) == 0:
                        break
                    place = place[key]
                place[key] = _VALUES[int(draws.integers(len(_VALUES)))]
                member = json.dumps(config).encode()
            new.writestr(name, member)
    return made.getvalue()


REFUSED = (ValueError, OSError)


def try_input(target: Target, seed: int, folder: Path) -> str:
    """What comes of an input: "opened", "refused", or what went wrong, in one line.

    A good file is written into the folder where there is none.
    """
    good = folder / "good" / target.name
    if not good.is_file():
        good.parent.mkdir(exist_ok=True)
        target.good(good)
    path = folder / target.name
    path.write_bytes(damaged(good.read_bytes(), seed))
    try:
        opened = target.opened(path)
    except REFUSED as error:
        return "refused" if str(error).strip() else f"{type(error).__name__} without a word"
    except BaseException as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    if target.content is not None and not _same(
        target.content(opened), target.content(target.opened(good))
    ):
        return "opened with another content"
    return "opened"


def _same(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> bool:
    return len(found) == len(expected) and all(map(np.array_equal, found, expected))
