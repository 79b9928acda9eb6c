"""Output that nobody reads ends nothing: closed streams, broken pipes, a full disk below stderr."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="shells are others there")

WORK = """
import sys
from pathlib import Path
import click
from tqdm import tqdm
from kerastl.internals.unread_output import drop_unread_output
drop_unread_output(results=sys.argv[2] != "predict")
with open(sys.argv[1], "w") as kept:
    for number in tqdm(range(2000), file=sys.stderr, mininterval=0):
        click.echo(f"progress {number}", err=True)
        click.echo(f"result {number}")
        sys.stdout.flush()
        kept.write(f"{number}\\n")
"""


def work(shell, kept, *, what="run"):
    """What the shell's command leaves: its exit code and the lines that it kept."""
    command = f"{sys.executable} -c '{WORK}' {kept} {what}"
    done = subprocess.run(
        ["bash", "-c", shell.format(command)], cwd=ROOT, capture_output=True, text=True
    )
    return done, kept.read_text().splitlines() if kept.exists() else []


@pytest.mark.parametrize(
    "shell",
    [
        "{} 2>&-",
        "{} >&- 2>&- <&-",
        "{} >&-",
        "{} 2>/dev/full",
        "{} | head -1; exit ${{PIPESTATUS[0]}}",
        "{} 2>&1 | head -1; exit ${{PIPESTATUS[0]}}",
        "{} 2> >(head -c 1 >&2)",
        "{} 2>&1 >/dev/null | true; exit ${{PIPESTATUS[0]}}",
    ],
)
def test_work_goes_on_when_nobody_reads(tmp_path, shell):
    done, lines = work(shell, tmp_path / "kept")
    assert done.returncode == 0, done.stderr
    assert lines == [str(number) for number in range(2000)]
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_all_that_is_read_arrives_in_order(tmp_path):
    done, _ = work("{}", tmp_path / "kept")
    assert done.stdout == "".join(f"result {number}\n" for number in range(2000))
    assert "progress 1999" in done.stderr


def test_results_on_a_full_disk_are_an_error(tmp_path):
    done, _ = work("{} >/dev/full", tmp_path / "kept")
    assert done.returncode != 0


def test_a_command_that_only_prints_ends_when_nobody_reads_on(tmp_path):
    _, lines = work("{} | head -1", tmp_path / "kept", what="predict")
    assert len(lines) < 2000


@pytest.mark.slow
def test_a_list_that_is_cut_off_is_no_error():
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} cli.py backbones | head -1; exit ${{PIPESTATUS[0]}}"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("name")


def test_the_next_file_does_not_get_the_number_of_a_closed_stream(tmp_path):
    code = (
        "import os, sys\nfrom kerastl.internals.unread_output import drop_unread_output\n"
        "drop_unread_output()\n"
        f"file = open({str(tmp_path / 'kept')!r}, 'w')\n"
        "os.write(2, b'what a library prints')\n"
        "file.write(str(file.fileno() > 2))\n"
    )
    subprocess.run(["bash", "-c", f"{sys.executable} -c \"$CODE\" 2>&- >&-"], cwd=ROOT,
                   env={**os.environ, "CODE": code}, check=True)  # fmt: skip
    assert (tmp_path / "kept").read_text() == "True"


def test_streams_that_others_have_put_there_stay(capsys):
    from kerastl.internals.unread_output import drop_unread_output

    before = sys.stdout, sys.stderr
    drop_unread_output()
    assert (sys.stdout, sys.stderr) == before
