"""How much memory a cache may take, in containers too."""

import subprocess
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


@pytest.mark.skipif(sys.platform != "linux", reason="needs limits of the memory of a process")
@pytest.mark.parametrize("limit", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_a_limit_of_the_process_counts(limit):
    code = f"""
import psutil, resource
from kerastl.prefix.memory import available_memory
info = psutil.Process().memory_info()
used = info.vms if "{limit}" == "RLIMIT_AS" else info.data
resource.setrlimit(resource.{limit}, (used + 300_000_000,) * 2)
print(available_memory())
held = bytearray(200_000_000)
print(available_memory())
"""
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    before, after = (int(line) for line in printed.stdout.split())
    assert 250_000_000 < before < 320_000_000
    assert 180_000_000 < before - after < 220_000_000


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a folder known as tmpfs")
def test_a_folder_in_memory_is_told_from_one_on_disk():
    assert is_in_memory("/dev/shm")
    assert not is_in_memory("/proc")
