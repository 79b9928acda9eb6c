"""Run the backends one after the other and compare their numbers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kerastl.backbones import foreign_code
from kerastl.internals.folder_lock import holding
from kerastl.internals.whole_files import remove_unfinished, write_whole
from kerastl.runs import config_file
from kerastl.runs.backends import BACKENDS, check_installed
from kerastl.runs.comparison import writing
from kerastl.runs.comparison.measures import (
    START_WEIGHTS,
    BackendRun,
    Difference,
    StartNumbers,
    difference,
    load_run,
)
from kerastl.runs.config import AUTO, RunConfig
from kerastl.runs.faults import writing_faults
from kerastl.runs.strategies import SOLVE, TRAIN


@dataclass(frozen=True)
class Comparison:
    """What came of it.

    Attributes:
        runs: One per backend, in the order asked for.
        differences: Of each backend that finished from the first that did.
    """

    runs: Sequence[BackendRun]
    differences: Mapping[str, Difference]

    @property
    def failed(self) -> list[str]:
        """The backends that did not finish."""
        return [run.backend for run in self.runs if run.error is not None]

    @property
    def beyond(self) -> list[str]:
        """The backends with a difference beyond tolerance."""
        return [name for name, found in self.differences.items() if found.beyond]


def compare(
    config: RunConfig,
    backends: Sequence[str],
    *,
    echo: Callable[[str], None],
    overwrite: bool = False,
) -> Comparison:
    """Train one job on several backends, from the same weights on the same batches.

    Dropout and stochastic depth are off: backends draw different numbers.

    Args:
        config: The job; `output` is the folder of the comparison.
        backends: Which, the reference first.
        echo: Takes lines of progress.
        overwrite: Whether a comparison that the folder holds may be replaced.

    Raises:
        ValueError: If a backend is named twice or not installed, the head is
            to be solved, folds are asked for, the batch size is auto, or the folder holds
            something.
    """
    for backend in backends:
        check_installed(backend)
    if len(set(backends)) < len(backends) or len(backends) < 2:
        raise ValueError(
            "`backends` must name two or more, each once. Received: "
            f"{','.join(backends)}. Write --backends {','.join(BACKENDS)}."
        )
    if config.solver == SOLVE:
        raise ValueError(
            "`solver` must be train for a comparison, which is of every step of the training. "
            "Received: solver='solve'. Leave it out."
        )
    if config.folds:
        raise ValueError(
            "`folds` must be left out of a comparison, which is of one training. "
            f"Received: folds={config.folds}."
        )
    if config.batch_size == AUTO:
        raise ValueError(
            "`batch_size` must be a number for a comparison, whose backends get the same batches. "
            "Received: batch_size='auto'. `kerastl plan --batch-size auto` says what fits."
        )
    foreign_code.check(config.backbone)
    config = replace(config, solver=TRAIN)
    folder = Path(config.output).expanduser()
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"`output` must be a folder. Received: {folder}, a file. Name another.")
    with holding(folder), writing_faults(folder):
        _clear(folder, overwrite=overwrite)
        return _compared(config, backends, folder, echo)


def _compared(
    config: RunConfig, backends: Sequence[str], folder: Path, echo: Callable[[str], None]
) -> Comparison:
    runs = []
    for backend in backends:
        echo(f"{backend}: training, see {folder / f'{backend}.log'}")
        runs.append(_run(replace(config, backend=backend), folder))
        echo(f"{backend}: {runs[-1].error or 'done'}")
    differences = _differences(runs, folder)
    writing.save_json(folder, runs, differences)
    writing.save_plot(folder, runs)
    for backend in backends:
        (folder / f"{backend}.npz").unlink(missing_ok=True)
    (folder / START_WEIGHTS).unlink(missing_ok=True)
    return Comparison(runs, differences)


def _run(config: RunConfig, folder: Path) -> BackendRun:
    backend = config.backend
    options = config_file.to_toml(config, folder)
    write_whole(folder / f"{backend}.toml", lambda path: path.write_text(options, encoding="utf-8"))
    environment = {**os.environ, "KERAS_BACKEND": backend}
    with (folder / f"{backend}.log").open("w", encoding="utf-8") as log:
        ended = subprocess.run(
            [sys.executable, "-m", "kerastl.runs.comparison.worker", str(folder), backend],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    result = folder / f"{backend}.json"
    if result.is_file():
        run = load_run(result)
        result.unlink()
        return run
    return BackendRun(backend, error=_how_it_ended(ended.returncode, folder / f"{backend}.log"))


def _how_it_ended(code: int, log: Path) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return f"Its process was ended by {name}{hint}. See {log}."
    return f"Its process ended with exit code {code}. See {log}."


def _differences(runs: Sequence[BackendRun], folder: Path) -> dict[str, Difference]:
    done = [run for run in runs if run.error is None]
    if not done:
        return {}
    reference, *others = done
    expected = StartNumbers.load(folder / f"{reference.backend}.npz")
    return {
        run.backend: difference(
            run, StartNumbers.load(folder / f"{run.backend}.npz"), reference, expected
        )
        for run in others
    }


def _clear(folder: Path, *, overwrite: bool) -> None:
    held = folder / writing.JSON_FILE
    if held.exists() and not overwrite:
        raise ValueError(
            f"`output` must not hold another comparison. Received: {folder}. Name another "
            "folder, or say --overwrite."
        )
    remove_unfinished(folder)
    for name in (writing.JSON_FILE, writing.PLOT_FILE, START_WEIGHTS):
        (folder / name).unlink(missing_ok=True)
    for backend in BACKENDS:
        (folder / f"{backend}.json").unlink(missing_ok=True)
