"""The output folder of a run: whether it can take one, and that the disk has room."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from kerastl.evaluation.run_record import CHECKPOINT_FILE, REPORT_FILE, RUN_FILES
from kerastl.internals.whole_files import remove_rest_of_safetensors, remove_unfinished
from kerastl.processes.group import is_first, several, writing_apart
from kerastl.runs.config import RunConfig

# A weight and Adam's two moments, float32.
_BYTES_PER_PARAMETER = 12
# Model and checkpoint; while one is being saved, the one of the epoch before is still there.
_COPIES = 4


def check_place(folder: Path) -> None:
    """Refuse what is no folder, or cannot be written.

    Raises:
        ValueError: If it is a file.
        OSError: If it cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"`output` must be a folder. Received: {folder}, a file. Name another.")
    existing = next(
        path for path in (folder.absolute(), *folder.absolute().parents) if path.exists()
    )
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise PermissionError(
            f"`output` must be a folder that can be written. Received: {folder}, but {existing} "
            "cannot be written to. Name another."
        )


@contextlib.contextmanager
def other_processes_apart(config: RunConfig, *, resumes: bool) -> Iterator[RunConfig]:
    """The options of this process: of several, all but the first run in folders of their own.

    What they write goes at the end; the first process keeps the run.

    Args:
        config: The options of all.
        resumes: Whether the folder has a run to go on with.
    """
    if not several() or is_first():
        yield config
        return
    with tempfile.TemporaryDirectory(prefix="kerastl-", ignore_cleanup_errors=True) as name:
        own = Path(name) / "run"
        if resumes:
            shutil.copytree(Path(config.output).expanduser(), own)
        with writing_apart():
            yield replace(config, output=str(own))


def check_output(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that cannot take a run, before any work is done.

    Raises:
        ValueError: If it holds another run, or is a file.
        OSError: If it cannot be written.
    """
    check_place(folder)
    held = held_files(folder)
    if held and not overwrite:
        go_on = f", or --resume {folder} to go on with it" if CHECKPOINT_FILE in held else ""
        raise ValueError(
            f"`output` must not hold another run. Received: {folder}, which has "
            f"{', '.join(held)}. Name another folder, say --overwrite to replace the run{go_on}."
        )


def held_files(folder: Path) -> list[str]:
    """What a folder holds of a run."""
    return [name for name in (*RUN_FILES, REPORT_FILE) if (folder / name).exists()]


def check_space(folder: Path, *, num_parameters: int) -> None:
    """Refuse to train where the model would not fit on the disk.

    Raises:
        OSError: If so, with the room that it takes.
    """
    needed = num_parameters * _BYTES_PER_PARAMETER * _COPIES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(
            f"`output` must have {needed / 1e6:,.0f} MB free for the model. Received: {folder} "
            f"with {free / 1e6:,.0f} MB. Free some, or name a folder on another disk."
        )


def remove_if_empty(folder: Path) -> None:
    """Remove a folder that holds nothing; one may have gone already."""
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def remove_rests(folder: Path) -> None:
    """Remove what processes that were killed have left half written; the folder is held."""
    remove_unfinished(folder)
    remove_rest_of_safetensors(folder)
