"""One process at a time in a folder, whatever becomes of the others."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kerastl.errors import FolderInUseError
from kerastl.internals import folder_lock
from kerastl.internals.folder_lock import LOCK_FILE, check_held, holding

ROOT = Path(__file__).resolve().parents[1]
HOLD = """
import sys, time
from pathlib import Path
from kerastl.errors import FolderInUseError
from kerastl.internals.folder_lock import holding
sys.stdin.readline()
try:
    with holding(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.readline()
        time.sleep(float(sys.argv[2]))
except FolderInUseError as error:
    print(error, flush=True)
"""


def start(folder, seconds=0.0):
    """A process that holds a folder once it is told to."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), str(seconds)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip


def told(process):
    process.stdin.write("\n")
    process.stdin.flush()


def said(process):
    return process.stdout.readline().strip()


@pytest.mark.slow
def test_of_two_processes_at_once_one_holds_and_one_says_who_does_ten_times(tmp_path):
    for number in range(10):
        folder = tmp_path / str(number) / "run"
        both = [start(folder), start(folder)]
        for process in both:
            told(process)
        lines = [said(process) for process in both]
        (first,) = (i for i, line in enumerate(lines) if line == "held")
        assert f"process {both[first].pid} on " in lines[1 - first]
        assert str(folder) in lines[1 - first]
        assert " since 20" in lines[1 - first]
        both[first].communicate("\n")
        both[1 - first].communicate()
        # An empty folder above may stay, where the other process had made it.
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_killed_process_holds_nothing(tmp_path):
    folder = tmp_path / "run"
    process = start(folder)
    told(process)
    assert said(process) == "held"
    with pytest.raises(FolderInUseError, match=f"process {process.pid} "), holding(folder):
        pass
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (folder / LOCK_FILE).exists()
    with holding(folder):
        about = json.loads((folder / LOCK_FILE).read_text())
        assert about["process"] == os.getpid()
    assert not folder.exists() or not list(folder.iterdir())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="not on Windows")
def test_a_worker_that_outlives_its_process_holds_nothing(tmp_path):
    folder = tmp_path / "run"
    code = (
        "import os, sys, time\nfrom pathlib import Path\n"
        "from kerastl.internals.folder_lock import holding\n"
        "with holding(Path(sys.argv[1])):\n"
        "    if os.fork() == 0:\n"
        "        time.sleep(60)\n"
        "        os._exit(0)\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdout=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True,
    )  # fmt: skip
    try:
        assert said(process) == "held"
        process.kill()
        process.wait()
        with holding(folder):
            pass
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_a_thread_may_hold_its_folder_again_and_another_thread_may_not(tmp_path):
    seen = []

    def other():
        try:
            with holding(tmp_path / "run"):
                seen.append("held")
        except FolderInUseError as error:
            seen.append(str(error))

    with holding(tmp_path / "run"), holding(tmp_path / "." / "run"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert (tmp_path / "run" / LOCK_FILE).exists()
    assert "another thread of this process" in seen[0]
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen[1] == "held"


def test_two_names_of_a_folder_are_one_folder(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "run")
    process = start(tmp_path / "link")
    told(process)
    assert said(process) == "held"
    with pytest.raises(FolderInUseError), holding(tmp_path / "run"):
        pass
    process.communicate("\n")


def test_a_folder_with_something_in_it_stays_and_one_that_was_empty_too(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("empty", "new/run"):
        with holding(tmp_path / name):
            if name != "empty":
                (tmp_path / name / "model").touch()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["empty", "model", "new", "run"]


def test_a_folder_that_is_not_to_be_made_is_not_held(tmp_path):
    with holding(tmp_path / "run", create=False):
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_used_without_one(tmp_path, monkeypatch, number):
    fcntl = pytest.importorskip("fcntl")

    def none(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "lockf", none)
    with holding(tmp_path / "run"):
        assert (tmp_path / "run" / LOCK_FILE).exists()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_folder_that_cannot_be_held_is_named(tmp_path, monkeypatch, number):
    def none(path, *arguments):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(folder_lock.os, "open", none)
    with pytest.raises(OSError) as raised, holding(tmp_path):
        pass
    assert (raised.value.errno, raised.value.filename) == (number, str(tmp_path))


@pytest.mark.parametrize("replaced", [True, False])
def test_a_folder_that_was_removed_or_replaced_is_told(tmp_path, replaced):
    folder = tmp_path / "run"
    with holding(folder):
        check_held(folder)
        check_held(folder / "folds" / "1")
        (folder / LOCK_FILE).unlink()
        folder.rmdir()
        if replaced:
            process = start(folder)
            told(process)
            assert said(process) == "held"
        with pytest.raises(OSError, match="removed or replaced"):
            check_held(folder / "folds" / "1")
    if replaced:
        assert (folder / LOCK_FILE).exists()  # it is the other process's
        process.communicate("\n")
    assert not folder.exists()
    check_held(folder)


def test_what_an_older_lock_file_says_is_no_matter(tmp_path):
    (tmp_path / LOCK_FILE).write_bytes(b"\xff{")
    with holding(tmp_path):
        pass
