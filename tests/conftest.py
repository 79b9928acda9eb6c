"""Settings of every test: the torch backend, one thread, and what several tests share."""

from __future__ import annotations

import gc
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")
# One thread for each process, those that tests start included: `pytest-xdist` fills the cores,
# and two teams of threads on the same cores wait for each other at every small operation.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest
import torch

from kerastl.runs.config import RunConfig

# These run in processes of their own, started by test_other_backends.py.
collect_ignore = ["other_backends", "in_float64"] if os.environ["KERAS_BACKEND"] == "torch" else []

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

SHARED_WEIGHTS = Path(__file__).resolve().parents[2] / "shared" / "weights"


@pytest.fixture(autouse=True, scope="module")
def models_are_freed():
    """Free what the tests before this file have left.

    A Keras model is a ring of layers and tensors, which only a full collection frees. Python
    makes one when it has seen many new objects, and a model is few objects and much memory.
    What the libraries made at import is left out of it: a collection then takes no time.
    """
    gc.collect()
    gc.freeze()
    yield
    gc.collect()


@pytest.fixture
def images() -> np.ndarray:
    """Sixteen random images, 32 pixels square."""
    return np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def labels() -> np.ndarray:
    """Sixteen labels of four classes."""
    return np.arange(16) % 4


@pytest.fixture
def mobilenet_file() -> Path:
    """The original ImageNet weights of Keras's MobileNet, alpha 0.25, without the top."""
    file = SHARED_WEIGHTS / "mobilenet_2_5_224_tf_no_top.h5"
    if not file.is_file():
        pytest.skip(f"{file.name} is not beside this checkout")
    return file


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """A folder of two classes of ten images each."""
    from small_runs import write_pictures

    return write_pictures(tmp_path_factory.mktemp("pictures"), per_class=10, size=32)


@pytest.fixture
def config(tmp_path, pictures):
    return RunConfig(
        data=f"folder:{pictures}",
        workers=0,
        image_size=32,
        batch_size=4,
        epochs=2,
        strategy="feature-extraction",
        output=str(tmp_path / "run"),
    )


@pytest.fixture
def computed(monkeypatch):
    """How many images went through the prefix function of each fit."""
    from kerastl.prefix import running

    counts = []
    original = running.prefix_function

    def counting(model, boundary):
        function = original(model, boundary)
        counts.append(0)

        def call(images):
            counts[-1] += len(images)
            return function(images)

        return call

    monkeypatch.setattr(running, "prefix_function", counting)
    return counts
