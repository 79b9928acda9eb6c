"""Files that are there whole or not at all, and nothing that a killed process has left."""

import errno
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from kerastl.errors import sentence
from kerastl.internals import whole_files
from kerastl.internals.whole_files import (
    publish,
    remove_rest_of_safetensors,
    remove_unfinished,
    unfinished_folder,
    write_whole,
)

ROOT = Path(__file__).resolve().parents[1]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_was_there_stays_until_the_new_file_is_complete(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("old")

    def write(path):
        path.write_text("new")
        path.with_name("beside").touch()
        assert (file.read_text(), path.name) == ("old", "a.txt")

    write_whole(file, write)
    assert (file.read_text(), names(tmp_path)) == ("new", ["a.txt"])


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, error):
    (tmp_path / "a.txt").write_text("old")

    def write(path):
        path.write_text("half")
        raise error

    with pytest.raises(type(error)):
        write_whole(tmp_path / "a.txt", write)
    assert ((tmp_path / "a.txt").read_text(), names(tmp_path)) == ("old", ["a.txt"])


def test_file_and_folder_are_flushed_before_and_after_the_rename(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(
        whole_files.os, "fsync", lambda number: done.append(os.path.isdir(f"/dev/fd/{number}"))
    )
    monkeypatch.setattr(
        whole_files.os, "replace", lambda a, b: done.append("renamed") or os.rename(a, b)
    )
    write_whole(tmp_path / "a", lambda path: path.write_text("x"))
    assert done == [False, "renamed", True]


def test_a_folder_takes_the_place_of_another(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").touch()
    with unfinished_folder(tmp_path) as folder:
        (folder / "model" / "variables").mkdir(parents=True)
        (folder / "model" / "variables" / "new").touch()
        publish(folder / "model", tmp_path / "model")
    assert names(tmp_path) == ["model"]
    assert names(tmp_path / "model") == ["variables"]


def test_a_link_is_written_through_and_a_device_as_it_is(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_whole(tmp_path / "link", lambda path: path.write_text("new"))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
    write_whole(Path(os.devnull), lambda path: path.write_text("gone"))
    assert not Path(os.devnull).is_file()


KILLED = {
    "safetensors": "save_file({'a': np.zeros(30_000_000)}, path)",
    "text": "path.write_text('half'); time.sleep(60)",
    "folder": "(path / 'deep').mkdir(parents=True); time.sleep(60)",
}


@pytest.mark.parametrize("writer", KILLED)
def test_what_a_killed_process_leaves_is_removed(tmp_path, writer):
    code = (
        "import sys, time\nimport numpy as np\nfrom pathlib import Path\n"
        "from safetensors.numpy import save_file\n"
        "from kerastl.internals.whole_files import write_whole\n"
        f"def write(path):\n    {KILLED[writer]}\n"
        "write_whole(Path(sys.argv[1]) / 'file', write)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT)
    while not any(path.parent != tmp_path for path in tmp_path.rglob("*")):
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (tmp_path / "kept").touch()
    assert len(names(tmp_path)) == 2
    remove_unfinished(tmp_path)
    assert names(tmp_path) == ["kept"]


def test_what_is_being_written_just_now_stays(tmp_path):
    with unfinished_folder(tmp_path) as folder:
        remove_unfinished(tmp_path)
        assert folder.is_dir()


@pytest.mark.parametrize(
    ("name", "is_folder"),
    [
        (".unfinished-4194305-model.keras", False),  # as versions before 0.2 named it
        (".unfinished-a8f3k2_x", True),
        (".unfinished-1-another.host-0123abcd", True),
        (".unfinished-4194305-HOST-0123abcd", True),
        # The number is another process's by now, as in a container that was started again.
        (".unfinished-PROCESS-HOST-0123abcd", True),
    ],
)
def test_what_nobody_writes_any_more_is_removed(tmp_path, name, is_folder):
    name = name.replace("PROCESS", str(os.getpid())).replace("HOST", platform.node()[:40])
    path = tmp_path / name
    path.mkdir() if is_folder else path.touch()
    os.utime(path, (10, 10))
    remove_unfinished(tmp_path, of_others_after=3600)
    assert not names(tmp_path)


def test_the_rest_of_an_older_safetensors_file_is_removed_and_nothing_alike(tmp_path):
    kept = [".tmp", ".tmp-1", ".tmpabcdefg", ".tmpabcde", "tmpAb3dE9"]
    for name in (".tmpAb3dE9", *kept):
        (tmp_path / name).touch()
    (tmp_path / ".tmpFolder").mkdir()
    remove_rest_of_safetensors(tmp_path)
    assert names(tmp_path) == sorted([*kept, ".tmpFolder"])


def write_beyond_limit(writer, folder):
    """Run a writer in a process that may write files of 100 kB; what it says."""
    code = (
        "import resource, signal, sys\nimport numpy as np\nfrom pathlib import Path\n"
        "from safetensors.numpy import save_file\nimport h5py\n"
        "from kerastl.errors import sentence\n"
        "from kerastl.internals.whole_files import write_whole\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        f"def write(path):\n    {writer}\n"
        "try:\n    write_whole(Path(sys.argv[1]) / 'file', write)\n"
        "except OSError as error:\n    print(error.errno, sentence(error))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], cwd=ROOT, capture_output=True, text=True
    )
    return done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
@pytest.mark.parametrize(
    "writer",
    [
        "save_file({'a': np.zeros(100_000)}, path)",
        "np.save(path.open('wb'), np.zeros(100_000))",
        "h5py.File(path, 'w').create_dataset('a', data=np.zeros(100_000)).file.close()",
    ],
)
def test_what_the_system_says_is_told_whatever_library_writes(tmp_path, writer):
    said = write_beyond_limit(writer, tmp_path)
    assert said.startswith(f"{errno.EFBIG} File too large") or said.startswith("None "), said
    assert not names(tmp_path)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError("Can't write data (errno = 28, error message = 'No space left on device')"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_the_same_sentence_from_every_library(tmp_path, error):
    def write(path):
        raise error

    with pytest.raises(OSError) as raised:
        write_whole(tmp_path / "model.keras", write)
    assert sentence(raised.value).startswith("No space left on the disk for this file. Free some")
    assert sentence(raised.value).endswith(str(tmp_path / "model.keras"))


def test_a_folder_that_is_gone_is_told_by_the_files_own_name(tmp_path):
    file = tmp_path / "gone" / "model.keras"
    with pytest.raises(FileNotFoundError) as raised:
        write_whole(file, lambda path: path.write_text("x"))
    assert sentence(raised.value) == f"No such file or directory: {file}"


def test_a_checkpoint_is_read_back(tmp_path):
    values = np.arange(6.0).reshape(2, 3)
    write_whole(tmp_path / "a.safetensors", lambda path: save_file({"a": values}, path))
    np.testing.assert_array_equal(load_file(tmp_path / "a.safetensors")["a"], values)
