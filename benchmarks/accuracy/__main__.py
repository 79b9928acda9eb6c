"""`python -m benchmarks.accuracy`: train in several ways on a few images, and compare."""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from benchmarks.accuracy.image_sets import FOLDER, NAMES, ImageSet, Sample, draw, load_present
from benchmarks.accuracy.lines import Lines, Row
from benchmarks.accuracy.rows import ROWS
from benchmarks.accuracy.tables import check_goal, table
from benchmarks.accuracy.tasks import NotAvailableError, Task, write_folder

_MEASURED = ("data", "backbone", "image_size", "per_class", "seed", "tests", "row")


def _echo(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    add = parser.add_argument
    add("--data", nargs="+", default=list(NAMES), help=f"{', '.join(NAMES)}, {FOLDER}PATH")
    add("--per-class", nargs="+", type=int, default=[5, 10, 30, 100], metavar="N")
    add("--seeds", type=int, default=5, metavar="N", help="default: 5")
    add("--rows", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="ROW")
    add("--backbone", default="bundled:efficientnet_lite0")
    add("--weights", default="default", help="default, or a file")
    add("--image-size", type=int, metavar="PIXELS", help="default: what suits each set")
    add("--tests", type=int, default=500, metavar="N", help="held-out images at most")
    add("--output", type=Path, metavar="FILE.jsonl", help="every number; what it has is not redone")
    add("--markdown", type=Path, metavar="FILE.md", help="the table")
    return parser


def _rows_of(options: argparse.Namespace) -> Iterator[Row]:
    lines = Lines(options.output, _MEASURED)
    missing: set[str] = set()
    sets = load_present(options.data, image_size=options.image_size, echo=_echo)
    for images, count in itertools.product(sets, options.per_class):
        if draw(images, count, 0) is None:
            _echo(f"{images.name}: no class may have fewer than {count} images and one to test on")
            continue
        for seed in range(options.seeds):
            wanted = [_about(options, images, count, seed, name) for name in options.rows]
            done = [lines.find(about) for about in wanted]
            yield from (row for row in done if row is not None)
            missed = [about for about, row in zip(wanted, done, strict=True) if row is None]
            missed = [about for about in missed if about["row"] not in missing]
            if missed:
                sample = draw(images, count, seed, most_tests=options.tests)
                assert sample is not None
                for row in _measured(options, sample, missed, missing):
                    lines.add(row)
                    yield row


def _about(options: argparse.Namespace, images: ImageSet, count: int, seed: int, name: str) -> Row:
    values = (images.name, options.backbone, int(images.images.shape[1]), count, seed)
    return dict(zip(_MEASURED, (*values, options.tests, name), strict=True))


def _measured(
    options: argparse.Namespace, sample: Sample, wanted: list[Row], missing: set[str]
) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        write_folder(sample, Path(folder) / "images")
        for about in wanted:
            work = Path(folder) / about["row"]
            work.mkdir()
            task = Task(
                sample,
                Path(folder) / "images",
                work,
                options.backbone,
                options.weights,
                about["seed"],
            )
            try:
                outcome = ROWS[about["row"]].measure(task)
            except NotAvailableError as reason:
                missing.add(about["row"])
                _echo(f"{about['row']}: skipped. {reason}")
                continue
            _echo(
                f"{about['data']}, {about['per_class']} per class, seed {about['seed']}, "
                f"{about['row']}: {100 * outcome.accuracy:.1f} % in {outcome.seconds:.1f} s"
            )
            yield about | asdict(outcome)


def main() -> int:
    """Measure what the output file has not, and print the table.

    Returns:
        0.
    """
    options = _parser().parse_args()
    rows = list(_rows_of(options))
    text = "\n".join([table(rows), "", *check_goal(rows)])
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
