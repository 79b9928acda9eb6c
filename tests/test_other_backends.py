"""The tests of `other_backends/` on JAX and on TensorFlow, each in a process of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def run_tests(backend, marker, *, seconds, only=""):
    selected = ["-m", marker, "-k", only, str(HERE / "other_backends")]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", *selected],
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
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


@pytest.mark.exhaustive
@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_one_training_step_of_every_family_holds_on(backend):
    done = run_tests(backend, "exhaustive", seconds=3600, only="training_step")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.mark.exhaustive
@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_the_logits_of_all_models_hold_on(backend):
    """Prints the table of differences, one row per model; `-s` shows it."""
    done = run_tests(backend, "exhaustive or not exhaustive", seconds=7200, only="logits")
    rows = [line for line in done.stdout.splitlines() if re.match(r"(torchvision|bundled):", line)]
    print(f"{backend}: largest difference of a logit over the largest logit", *rows, sep="\n")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert len(rows) == 81
