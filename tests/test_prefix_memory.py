"""How much memory a cache may take, in containers too."""

import sys

import psutil
import pytest

from kerastl.prefix.memory import available_memory, is_in_memory


def container(folder, names, limit, used, reclaimable):
    for name, text in zip(names, (limit, used, reclaimable), strict=True):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder


VERSION_2 = ("memory.max", "memory.current", "memory.stat")
VERSION_1 = ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat")


@pytest.mark.parametrize(
    ("names", "key"), [(VERSION_2, "inactive_file"), (VERSION_1, "total_inactive_file")]
)
def test_a_containers_limit_counts_and_files_that_were_read_do_not(tmp_path, names, key):
    folder = container(tmp_path, names, "5000\n", "3000\n", f"anon 2000\n{key} 700\nslab 9\n")
    assert available_memory(folder) == 2700


def test_without_a_limit_it_is_what_the_machine_has(tmp_path):
    unlimited = container(tmp_path, VERSION_2, "max\n", "3000\n", "inactive_file 700\n")
    for folder in (unlimited, tmp_path / "none"):
        assert 0.5 < available_memory(folder) / psutil.virtual_memory().available < 2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a folder known as tmpfs")
def test_a_folder_in_memory_is_told_from_one_on_disk():
    assert is_in_memory("/dev/shm")
    assert not is_in_memory("/proc")
