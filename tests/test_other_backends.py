"""`other_backends/` and `in_float64/` on JAX and on TensorFlow, each in a process of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def run_tests(backend, marker, *, seconds, folder="other_backends", only=""):
    selected = ["-m", marker, "-k", only, str(HERE / folder)]
    precise = {"JAX_ENABLE_X64": "1"} if folder == "in_float64" else {}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", *selected],
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", **precise},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        cwd=HERE.parent,
    )


@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_the_bridge_holds_on(backend):
    done = run_tests(backend, "not slow and not exhaustive", seconds=900)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_training_is_torchs_in_float64_on(backend):
    done = run_tests(backend, "not exhaustive", seconds=600, folder="in_float64")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.mark.exhaustive
@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_a_training_step_of_every_family_is_torchs_on(backend):
    """Prints the largest difference of each family, and what it is of; `-s` shows it."""
    done = run_tests(backend, "exhaustive or not exhaustive", seconds=3600, folder="in_float64")
    print(f"{backend}: largest relative difference in a training step", *_rows(done), sep="\n")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert len(_rows(done)) == 20


@pytest.mark.exhaustive
@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_the_logits_of_all_models_hold_on(backend):
    """Prints the table of differences, one row per model; `-s` shows it."""
    done = run_tests(backend, "exhaustive or not exhaustive", seconds=7200, only="logits")
    print(
        f"{backend}: largest difference of a logit over the largest logit", *_rows(done), sep="\n"
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert len(_rows(done)) == 81


def _rows(done):
    return [line for line in done.stdout.splitlines() if re.match(r"(torchvision|bundled):", line)]
