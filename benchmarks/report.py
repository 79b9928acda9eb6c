"""The tables: ratios to each rival, memory, growth and further numbers. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.contestants import CONTESTANTS, OURS
from benchmarks.jobs import Job
from benchmarks.measurement import Measurement

_NONE = "-"

_DISTURBANCE = 0.1
"""Cores busy with something else, from which a measurement is not to be trusted."""


@dataclass(frozen=True)
class Results:
    """All that a run has measured.

    Attributes:
        about: Machine, versions and options of the run.
        jobs: The jobs, scaled.
        rivals: Contestants beside ours that were asked for.
        missing: Those of them that are not installed.
        measurements: Every measurement.
    """

    about: Mapping[str, Any]
    jobs: Sequence[Job]
    rivals: Sequence[str]
    missing: Sequence[str]
    measurements: Sequence[Measurement]

    def of(self, job: Job, contestant: str) -> list[Measurement]:
        """The measurements of a contestant that did not fail, in the order of the repeats."""
        return [
            done
            for done in self.measurements
            if (done.job, done.contestant, done.error) == (job.name, contestant, None)
        ]

    def ratios(self, job: Job, rival: str) -> list[float]:
        """A rival's seconds over ours, for each repeat that has both."""
        ours = {done.repeat: done.seconds for done in self.of(job, OURS) if done.seconds}
        return [
            done.seconds / ours[done.repeat]
            for done in self.of(job, rival)
            if done.seconds and done.repeat in ours
        ]


def save_json(results: Results, path: Path) -> None:
    """Write every raw number."""
    content = {
        "about": dict(results.about),
        "not_installed": list(results.missing),
        "jobs": {job.name: asdict(job) for job in results.jobs},
        "ratios": {
            job.name: {rival: results.ratios(job, rival) for rival in job.rivals}
            for job in results.jobs
        },
        "measurements": [asdict(done) for done in results.measurements],
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def report(results: Results) -> str:
    """All tables with a title each, as Markdown that reads as plain text too."""
    rated = [job for job in results.jobs if job.rivals]
    sections = [("", _about(results.about))]
    if rated:
        sections += [
            ("Rival's seconds / ours: median (lowest-highest)", _ratio_table(results, rated)),
            ("Peak memory, MB", _memory_table(results, rated)),
        ]
    for group in dict.fromkeys(job.group for job in results.jobs if not job.rivals):
        jobs = [job for job in results.jobs if job.group == group]
        sections.append((f"{group}: kerastl alone", _alone_table(results, jobs)))
    sections.append(("Further numbers: median", _extras_table(results)))
    sections.append(("Notes", "\n".join(_notes(results))))
    return "\n\n".join(
        f"### {title}\n\n{text}" if title else text for title, text in sections if text
    )


def table(rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """A Markdown table with straight columns.

    Args:
        rows: Cells; the first row is the header.
        left: Columns, counted from the left, that are aligned to the left.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(widths[column]) if column < left else cell.rjust(widths[column])
            for column, cell in enumerate(cells)
        ]
        return f"| {' | '.join(padded)} |"

    rule = [
        "-" * width if column < left else "-" * (width - 1) + ":"
        for column, width in enumerate(widths)
    ]
    return "\n".join([line(rows[0]), line(rule), *(line(row) for row in rows[1:])])


def _about(about: Mapping[str, Any]) -> str:
    return "\n".join(f"- {key}: {value}" for key, value in about.items() if value is not None)


def _ratio_table(results: Results, jobs: Sequence[Job]) -> str:
    rows = [["job", "our seconds", "our MB", *results.rivals, "target", "met"]]
    for job in jobs:
        ours = results.of(job, OURS)
        rows.append(
            [
                job.name,
                _median(ours, "seconds", "{:.2f}"),
                _median(ours, "peak_memory_mb", "{:.0f}"),
                *(_ratio_cell(results, job, rival) for rival in results.rivals),
                _target_cell(job),
                _met_cell(results, job),
            ]
        )
    return table(rows)


def _ratio_cell(results: Results, job: Job, rival: str) -> str:
    if rival not in job.rivals:
        return _NONE
    if rival in results.missing:
        return "not installed"
    ratios = results.ratios(job, rival)
    if not ratios:
        return "failed"
    return f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def _target_cell(job: Job) -> str:
    return _NONE if job.target is None else f"{job.target:g} {job.target_rival}"


def _met_cell(results: Results, job: Job) -> str:
    ratios = results.ratios(job, job.target_rival)
    if job.target is None or not ratios:
        return _NONE
    return "yes" if median(ratios) >= job.target else "no"


def _memory_table(results: Results, jobs: Sequence[Job]) -> str:
    contestants = [OURS, *(rival for rival in results.rivals if rival not in results.missing)]
    rows = [["job", *contestants]]
    for job in jobs:
        cells = [_memory_cell(results.of(job, contestant)) for contestant in contestants]
        rows.append([job.name, *cells])
    return table(rows)


def _memory_cell(measurements: Sequence[Measurement]) -> str:
    main = _median(measurements, "peak_memory_mb", "{:.0f}")
    on_gpu = _median(measurements, "peak_gpu_memory_mb", "{:.0f}")
    return main if on_gpu == _NONE else f"{main}, GPU {on_gpu}"


def _alone_table(results: Results, jobs: Sequence[Job]) -> str:
    """Time and memory, and each as a multiple of the first job's."""
    rows = [["job", "images", "epochs", "seconds", "times", "peak MB", "times"]]
    first: Sequence[Measurement] = results.of(jobs[0], OURS)
    for job in jobs:
        ours = results.of(job, OURS)
        cells = []
        for name, form in (("seconds", "{:.2f}"), ("peak_memory_mb", "{:.0f}")):
            cells += [_median(ours, name, form), _multiple(ours, first, name)]
        rows.append([job.name, str(job.images), str(job.epochs), *cells])
    return table(rows)


def _extras_table(results: Results) -> str:
    rows = [["job", "contestant", "number", "median"]]
    for job in results.jobs:
        for contestant in CONTESTANTS:
            done = results.of(job, contestant)
            for name in done[0].extras if done else ():
                value = median(one.extras[name] for one in done)
                rows.append([job.name, contestant, name.replace("_", " "), f"{value:.3g}"])
    return table(rows, left=3) if len(rows) > 1 else ""


def _notes(results: Results) -> Iterator[str]:
    for contestant in results.missing:
        yield f"- {contestant}: not installed"
    notes: dict[tuple[str, str], list[str]] = {}
    for done in results.measurements:
        text = f"failed: {done.error}" if done.error else done.note
        if text:
            notes.setdefault((done.contestant, text), []).append(done.job)
    yield from _disturbances(results)
    for (contestant, text), jobs in notes.items():
        yield f"- {contestant}: {text} ({', '.join(dict.fromkeys(jobs))})"


def _disturbances(results: Results) -> Iterator[str]:
    for job in results.jobs:
        cores = [done.other_cores or 0.0 for done in results.measurements if done.job == job.name]
        disturbed = [value for value in cores if value > _DISTURBANCE]
        if disturbed:
            yield (
                f"- {job.name}: other processes kept up to {max(disturbed):.2f} cores busy in "
                f"{len(disturbed)} of {len(cores)} measurements; repeat it on a quiet machine"
            )


def _values(measurements: Sequence[Measurement], name: str) -> list[float]:
    found = (getattr(done, name) for done in measurements)
    return [value for value in found if value is not None]


def _median(measurements: Sequence[Measurement], name: str, form: str) -> str:
    values = _values(measurements, name)
    return form.format(median(values)) if values else _NONE


def _multiple(measurements: Sequence[Measurement], first: Sequence[Measurement], name: str) -> str:
    values, base = _values(measurements, name), _values(first, name)
    return f"{median(values) / median(base):.2f}" if values and base else _NONE
