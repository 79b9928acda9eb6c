"""Write what `pick` found: tables for the terminal, JSON, CSV and a page."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from kerastl.data.spec_paths import published
from kerastl.internals.tables import align
from kerastl.internals.versions import __version__
from kerastl.internals.whole_files import write_whole
from kerastl.pages.environment import environment
from kerastl.runs.picking.charts import blocks_chart, is_chosen, speed_chart
from kerastl.runs.picking.results import CandidateScore, FineTuning, Pick

JSON_FILE = "pick.json"
PAGE_FILE = "pick.html"
CSV_FILE = "candidates.csv"

_HEADER = (
    "backbone",
    "pixels",
    "accuracy",
    "95 % interval",
    "log-loss",
    "ms/image",
    "parameters",
    "on disk",
    "standing",
)
_TUNED_HEADER = (
    "backbone",
    "pixels",
    "what trains",
    "steps",
    "accuracy",
    "95 % interval",
    "log-loss",
    "solved head",
    "its log-loss",
    "verdict",
)


def check_output(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds another search, before any work is done.

    Raises:
        ValueError: If so, or if it is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"`output` must be a folder. Received: {folder}, a file. Name another.")
    held = [name for name in (JSON_FILE, PAGE_FILE, CSV_FILE) if (folder / name).exists()]
    if held and not overwrite:
        raise ValueError(
            f"`output` must not hold another search. Received: {folder}, which has "
            f"{', '.join(held)}. Name another folder, or say --overwrite to replace it."
        )


def write(found: Pick, folder: Path) -> None:
    """Write `pick.json`, `candidates.csv` and `pick.html` into a folder.

    Raises:
        OSError: If a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / JSON_FILE, json.dumps(found.to_dict(), indent=2, ensure_ascii=False) + "\n")
    _write(folder / CSV_FILE, _csv(found.candidates))
    _write(folder / PAGE_FILE, page(found))


def text(found: Pick) -> str:
    """The tables, what was left out, and the reasons, for the terminal."""
    lines = [
        f"{found.data}: {found.num_images:,} images of {found.num_classes} classes, each held out "
        f"once in {found.num_folds} folds; the test part was not looked at",
        align([_HEADER, *map(candidate_cells, found.candidates)], right=range(1, 8)),
    ]
    if found.fine_tunings:
        rows = [_TUNED_HEADER, *map(tuned_cells, found.fine_tunings)]
        lines += ["", "Short fine-tunings, judged on the validation images"]
        lines += [align(rows, right=(1, *range(3, 9)))]
    if found.left_out:
        lines += ["", "Left out"]
        lines += [
            f"  {each.spec}{f', {each.what}' if each.what else ''}: {each.reason}"
            for each in found.left_out
        ]
    lines += ["", *found.recommendation.reasons]
    return "\n".join(lines)


def _published_command(command: str) -> str:
    """A command without the folders of this machine: a page is for others too."""
    words = shlex.split(command)
    place = words.index("--data") + 1
    return shlex.join([*words[:place], published(words[place]), *words[place + 1 :]])


def page(found: Pick) -> str:
    """The HTML page, which needs nothing beside it."""
    template = environment("kerastl.runs.report", autoescape=True).get_template("pick.html.jinja")
    chart = blocks_chart(found.candidates, name="blocks")
    return template.render(
        command=_published_command(found.recommendation.command),
        found=found,
        version=__version__,
        header=_HEADER,
        rows=[(candidate_cells(each), _is_chosen(each, found)) for each in found.candidates],
        tuned_header=_TUNED_HEADER,
        tuned_rows=[tuned_cells(each) for each in found.fine_tunings],
        speed_chart=Markup(speed_chart(found.candidates, found.recommendation, name="speed")),
        blocks_chart=None if chart is None else Markup(chart),
    )


def candidate_cells(each: CandidateScore) -> tuple[str, ...]:
    """A row of the table of candidates."""
    found = each.estimate
    dropped = f" after {each.num_images:,} images" if each.p_value is None else ""
    return (
        each.spec,
        str(each.image_size),
        f"{100 * found.accuracy:.1f} %",
        f"{100 * found.low:.1f} - {100 * found.high:.1f}",
        f"{found.loss:.3f}",
        f"{each.milliseconds:.2f}" if each.milliseconds < 10 else f"{each.milliseconds:.0f}",
        f"{each.num_parameters / 1e6:.1f} M",
        f"{each.num_bytes / 1e6:.1f} MB",
        each.standing + dropped,
    )


def tuned_cells(each: FineTuning) -> tuple[str, ...]:
    """A row of the table of fine-tunings."""
    found, solved = each.estimate, each.solved
    what = "all blocks" if each.freeze_through is None else f"behind {each.freeze_through}"
    short = "" if each.steps == each.planned_steps else f" of {each.planned_steps}"
    return (
        each.spec,
        str(each.image_size),
        what,
        f"{each.steps}{short}",
        f"{100 * found.accuracy:.1f} %",
        f"{100 * found.low:.1f} - {100 * found.high:.1f}",
        f"{found.loss:.3f}",
        f"{100 * solved.accuracy:.1f} %",
        f"{solved.loss:.3f}",
        "clear gain" if each.gains else "no clear gain",
    )


def _is_chosen(each: CandidateScore, found: Pick) -> bool:
    return is_chosen(each, found.recommendation)


def _csv(candidates: Sequence[CandidateScore]) -> str:
    rows: list[dict[str, Any]] = [
        {
            "backbone": each.spec,
            "weights": each.weights,
            "image_size": each.image_size,
            "images": each.num_images,
            "accuracy": each.estimate.accuracy,
            "low": each.estimate.low,
            "high": each.estimate.high,
            "loss": each.estimate.loss,
            "milliseconds": each.milliseconds,
            "parameters": each.num_parameters,
            "bytes": each.num_bytes,
            "standing": each.standing,
            "p_value": "" if each.p_value is None else each.p_value,
        }
        for each in candidates
    ]
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _write(file: Path, content: str) -> None:
    write_whole(file, lambda path: path.write_text(content, encoding="utf-8"))
