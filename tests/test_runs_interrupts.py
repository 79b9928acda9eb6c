"""Ctrl-C, as the terminal sends it: to every process of a run at once."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kerastl.evaluation import run_record as results
from kerastl.runs.interrupts import noticing_ctrl_c

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def folder(tmp_path):
    for name in ("dark", "light"):
        (tmp_path / name).mkdir()
        for number in range(10):
            pixels = np.random.default_rng(number).integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    return tmp_path


def start(folder, output) -> subprocess.Popen:
    command = [
        sys.executable, "cli.py", "run", "--data", f"folder:{folder}",
        "--epochs", "500", "--batch-size", "2", "--image-size", "32", "--workers", "2",
        "--output", str(output),
    ]  # fmt: skip
    return subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True
    )


@pytest.mark.parametrize(
    ("after", "says", "files"),
    [
        ("Epoch 2/", "Error: Stopped. Kept in", sorted((*results.RUN_FILES, results.SPLIT_FILE))),
        pytest.param(
            "Strategy", "Error: Stopped. No epoch was finished", [], marks=pytest.mark.slow
        ),
    ],
)
def test_ctrl_c_stops_a_run_with_workers_in_one_sentence(folder, tmp_path, after, says, files):
    output = tmp_path / "run"
    process = start(folder, output)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(after):
            break
    os.killpg(process.pid, signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 1
    assert rest.strip().splitlines()[-1].startswith(says)
    assert (sorted(path.name for path in output.iterdir()) if output.exists() else []) == files


def test_ctrl_c_is_noticed_and_still_raised():
    before = signal.getsignal(signal.SIGINT)
    with noticing_ctrl_c() as ctrl_c:
        assert not ctrl_c()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert ctrl_c()
    assert signal.getsignal(signal.SIGINT) is before


def test_another_thread_leaves_the_signal_alone():
    seen = []

    def run():
        with noticing_ctrl_c() as ctrl_c:
            seen.append(ctrl_c())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [False]
