"""`other_backends/` and `in_float64/` on JAX and on TensorFlow, each in a process of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def start_tests(backend, marker, *, folder="other_backends", only=""):
    selected = ["-m", marker, "-k", only, str(HERE / folder)]
    precise = {"JAX_ENABLE_X64": "1"} if folder == "in_float64" else {}
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-rA", "-n", "0", *selected],
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", **precise},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=HERE.parent,
    )


def finish(process, *, seconds):
    """What the tests printed; they must have passed."""
    try:
        printed, _ = process.communicate(timeout=seconds)
    finally:
        process.kill()
    assert process.returncode == 0, printed[-8000:]
    return printed


def test_operations_hold_on_jax():
    finish(start_tests("jax", "not slow and not exhaustive", only="test_operations"), seconds=900)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_the_bridge_holds_on(backend):
    finish(start_tests(backend, "not slow and not exhaustive"), seconds=2400)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_what_takes_longer_holds_on(backend):
    finish(start_tests(backend, "slow and not exhaustive"), seconds=2400)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_training_is_torchs_in_float64_on(backend):
    finish(start_tests(backend, "not exhaustive", folder="in_float64"), seconds=2400)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_keras_contract_holds_on(backend):
    modules = "own_steps or labels or copies or loaders"
    finish(
        start_tests(backend, "not slow and not exhaustive", folder="contract", only=modules),
        seconds=900,
    )


@pytest.mark.exhaustive
@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_a_training_step_of_every_family_is_torchs_on(backend):
    """Prints the largest difference of each family, and what it is of; `-s` shows it."""
    marked = start_tests(backend, "exhaustive or not exhaustive", folder="in_float64")
    rows = _rows(finish(marked, seconds=3600))
    print(f"{backend}: largest relative difference in a training step", *rows, sep="\n")
    assert len(rows) == 20


@pytest.mark.exhaustive
@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_the_logits_of_all_models_hold_on(backend):
    """Prints the table of differences, one row per model; `-s` shows it."""
    marked = start_tests(backend, "exhaustive or not exhaustive", only="logits")
    rows = _rows(finish(marked, seconds=7200))
    print(f"{backend}: largest difference of a logit over the largest logit", *rows, sep="\n")
    assert len(rows) == 83


def _rows(printed):
    return [line for line in printed.splitlines() if re.match(r"(torchvision|bundled):", line)]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_the_optimizers_contract_holds_on(backend):
    finish(
        start_tests(backend, "not slow", folder="contract", only="test_optimizer.py"), seconds=1800
    )
