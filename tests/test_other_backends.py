"""The tests of `other_backends/` on JAX and on TensorFlow, each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def run_tests(backend, marker, *, seconds):
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", "-m", marker, str(HERE / "other_backends")],
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        cwd=HERE.parent,
    )


@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_the_bridge_holds_on(backend):
    done = run_tests(backend, "not slow", seconds=900)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_all_models_and_one_step_of_every_family_hold_on(backend):
    done = run_tests(backend, "slow", seconds=3600)
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
