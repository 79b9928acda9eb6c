"""Write a comparison: a table, JSON and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kerastl.evaluation.intervals import shown
from kerastl.internals.tables import align
from kerastl.internals.whole_files import write_whole
from kerastl.runs.comparison import noise
from kerastl.runs.comparison.measures import (
    JUDGED_STEPS,
    TOLERANCES,
    BackendRun,
    Difference,
    write_json,
)

JSON_FILE = "comparison.json"
PLOT_FILE = "comparison.png"
MARK = "!"


def table(runs: Sequence[BackendRun], differences: Mapping[str, Difference]) -> str:
    """One row per backend, the reference first, and a line per backend that failed."""
    header = [
        "backend",
        "logits",
        f"loss, {JUDGED_STEPS} steps",
        "loss, all",
        "gradient (worst block)",
        "test accuracy",
        "first step",
        "median step",
        "images/s",
        "peak memory",
    ]
    done = [run for run in runs if run.error is None]
    rows = [_row(run, differences.get(run.backend)) for run in done]
    lines = [align([header, *rows], right=range(1, len(header)))] if rows else []
    lines += [f"{run.backend} failed: {run.error}" for run in runs if run.error is not None]
    limits = ", ".join(f"{name} {limit:g}" for name, limit in TOLERANCES.items())
    if len(done) > 1:
        lines.append(
            f"\nDifferences are relative to {done[0].backend}; {MARK} marks those beyond "
            f"tolerance ({limits})."
        )
    lines += noise.sentences(done)
    return "\n".join(lines)


def save_json(
    folder: Path, runs: Sequence[BackendRun], differences: Mapping[str, Difference]
) -> None:
    """Write `comparison.json`: the test accuracy with its interval in place of each image."""
    values = {
        "reference": next((run.backend for run in runs if run.error is None), None),
        "tolerances": dict(TOLERANCES),
        "judged_steps": JUDGED_STEPS,
        "backends": {
            run.backend: {
                **_measured(run),
                "difference": asdict(differences[run.backend])
                if run.backend in differences
                else None,
            }
            for run in runs
        },
    }
    write_json(folder / JSON_FILE, values)


def save_plot(folder: Path, runs: Sequence[BackendRun]) -> None:
    """Draw the loss of each step and the time of a step."""
    from matplotlib.figure import Figure

    done = [run for run in runs if run.error is None]
    figure = Figure(figsize=(11, 4), layout="constrained")
    losses, times = figure.subplots(1, 2, width_ratios=(2, 1))
    for index, run in enumerate(done):
        # Later curves lie on earlier ones: each is thinner than the one below.
        width = 1.5 + 2.5 * (len(done) - 1 - index)
        losses.plot(range(1, len(run.losses) + 1), run.losses, label=run.backend, linewidth=width)
    losses.set(xlabel="step", ylabel="loss", title="Loss of each step")
    losses.legend()
    names = [run.backend for run in done]
    bars = times.bar(names, [1000 * (run.step_seconds or 0) for run in done])
    times.bar_label(bars, fmt="%.0f")
    times.set(ylabel="milliseconds", title="Median step")
    write_whole(folder / PLOT_FILE, lambda path: figure.savefig(path, dpi=120))


def _measured(run: BackendRun) -> dict[str, Any]:
    values = asdict(run)
    images = len(values.pop("test_right"))
    return {**values, "test_images": images, "test_interval": noise.accuracy_interval(run)}


def _accuracy(run: BackendRun) -> str:
    interval = noise.accuracy_interval(run)
    ends = "" if interval is None else f" ({shown(interval)})"
    return "" if run.test_accuracy is None else f"{run.test_accuracy:.4f}{ends}"


def _row(run: BackendRun, difference: Difference | None) -> list[str]:
    if difference is None:
        compared = ["reference", "", "", ""]
    else:
        block, worst = max(
            difference.gradient.items(), key=lambda entry: entry[1], default=("", 0.0)
        )
        compared = [
            _judged(difference.logits, "logits", difference),
            _judged(difference.loss, "loss", difference),
            f"{difference.loss_all_steps:.1e}",
            f"{_judged(worst, 'gradient', difference)} ({block})",
        ]
    return [
        run.backend,
        *compared,
        _accuracy(run),
        f"{run.first_step_seconds or 0:.1f} s",
        f"{1000 * (run.step_seconds or 0):.0f} ms",
        f"{run.images_per_second or 0:.0f}",
        "" if run.peak_memory_mb is None else f"{run.peak_memory_mb:,.0f} MB",
    ]


def _judged(value: float, name: str, difference: Difference) -> str:
    return f"{value:.1e}{' ' + MARK if name in difference.beyond else ''}"
