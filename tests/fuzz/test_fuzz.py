"""Damaged files of every kind: each opens or is refused in a sentence, in bounded time and memory.

A few inputs by default, hundreds with `-m slow`, thousands with `-m exhaustive`; in processes of
their own, which are started anew after a crash or a hang, and the input is named.
"""

import queue
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest
from targets import TARGETS, try_input

WORKER = Path(__file__).with_name("worker.py")
SECONDS = 30
"""For one input; the imports have as much again."""
EXHAUSTIVE = {"image": 10_000, "model": 1_000}


def faults(name, count, folder) -> list[str]:
    """The inputs of a target that neither opened nor were refused, and what came of them."""
    found, done = [], 0
    while done < count:
        process = subprocess.Popen(
            [sys.executable, WORKER, name, str(done), str(count - done), folder],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        lines: queue.Queue[str | None] = queue.Queue()
        reader = threading.Thread(target=read_lines, args=(process.stdout, lines))
        reader.start()
        before, ending = done, "hung"
        try:
            while (line := lines.get(timeout=SECONDS * (2 if done == before else 1))) is not None:
                seed, _, what = line.strip().partition(" ")
                done = int(seed) + 1
                if what not in ("opened", "refused"):
                    found.append(f"{name} {seed}: {what}")
            ending = f"ended its process with {process.wait()}"
        except queue.Empty:
            process.kill()
        process.wait()
        reader.join()
        process.stdout.close()
        if done < count:
            found.append(f"{name} {done}: {ending}")
            done += 1
    return found


def read_lines(stream, lines) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


@pytest.mark.parametrize("name", TARGETS)
def test_a_few_damaged_files_open_or_are_refused(name, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [try_input(TARGETS[name], seed, tmp_path) for seed in range(12)]
    assert set(found) <= {"opened", "refused"}


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_hundreds_of_damaged_files_open_or_are_refused(name, tmp_path):
    assert faults(name, 200, tmp_path) == []


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", TARGETS)
def test_thousands_of_damaged_files_open_or_are_refused(name, tmp_path):
    images = sum(each.startswith("image") for each in TARGETS)
    count = EXHAUSTIVE["image"] // images + 1 if name.startswith("image") else EXHAUSTIVE["model"]
    assert faults(name, count, tmp_path) == []
