"""`python -m benchmarks`: measure, and print how much faster or slower we are."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.contestants import CONTESTANTS, OURS, select_rivals
from benchmarks.jobs import JOBS, Job, scaled, select_jobs
from benchmarks.machine import describe_machine, versions
from benchmarks.measurement import Measurement
from benchmarks.report import Results, report, save_json
from benchmarks.runner import run_job


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more. Received: {number}.")
    return number


def _parser() -> argparse.ArgumentParser:
    groups = ", ".join(dict.fromkeys(job.group for job in JOBS.values()))
    rivals = ", ".join(name for name in CONTESTANTS if name != OURS)
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--jobs",
        type=_names,
        default=[],
        metavar="NAME,...",
        help=f"jobs or groups of jobs; default: all. Groups: {groups}",
    )
    parser.add_argument(
        "--rivals", type=_names, metavar="NAME,...", help=f"default: all. There are: {rivals}"
    )
    parser.add_argument("--repeats", type=_at_least_one, default=3, metavar="N", help="default: 3")
    parser.add_argument(
        "--scale", type=float, default=1.0, metavar="F", help="factor on the images; default: 1"
    )
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="every raw number")
    parser.add_argument("--markdown", type=Path, metavar="FILE.md", help="the tables")
    return parser


def _echo(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _about(
    machine: Mapping[str, Any], options: argparse.Namespace, measurements: list[Measurement]
) -> dict[str, Any]:
    done = [one for one in measurements if one.error is None]
    return {
        **machine,
        "device": done[0].device if done else None,
        "threads": ", ".join(str(number) for number in sorted({one.threads or 0 for one in done})),
        "repeats": options.repeats,
        "scale": options.scale,
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
    }


def _run(options: argparse.Namespace, jobs: list[Job], rivals: dict[str, bool]) -> Results:
    """Measure job by job; what is there is written after each."""
    machine = describe_machine()
    missing = [name for name, installed in rivals.items() if not installed]
    for name in missing:
        _echo(f"{name}: {CONTESTANTS[name].package} is not installed; skipped")
    results = Results({}, [scaled(job, options.scale) for job in jobs], list(rivals), missing, [])
    present = [name for name, installed in rivals.items() if installed]
    for job in jobs:
        done = run_job(job, present, repeats=options.repeats, scale=options.scale, echo=_echo)
        measurements = [*results.measurements, *done]
        results = replace(
            results, about=_about(machine, options, measurements), measurements=measurements
        )
        if options.output:
            save_json(results, options.output)
    return results


def main() -> int:
    """Run the benchmarks.

    Returns:
        0, or 1 where a measurement failed.
    """
    parser = _parser()
    options = parser.parse_args()
    try:
        jobs = select_jobs(options.jobs)
        rivals = {rival.name: rival.is_installed for rival in select_rivals(options.rivals)}
    except ValueError as error:
        parser.error(str(error))
    results = _run(options, jobs, rivals)
    text = report(results)
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n", encoding="utf-8")
    return 1 if any(done.error for done in results.measurements) else 0


if __name__ == "__main__":
    sys.exit(main())
