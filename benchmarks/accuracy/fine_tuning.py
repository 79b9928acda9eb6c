"""What fine-tuning gains over a solved head: one measurement for each recipe, set and seed.

    python -m benchmarks.accuracy.fine_tuning --data digits photographs --per-class 10 \
        --set strategy=full --vary batch_norm=train,frozen rate=1e-4,3e-4 \
        --output results.jsonl

Every recipe is the default one with `--set` and one combination of `--vary`. A line that
the output file holds already is not measured again.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.accuracy.image_sets import draw, load_present
from benchmarks.accuracy.lines import Lines, Row
from benchmarks.accuracy.recipes import Recipe

_MEASURED = ("data", "backbone", "per_class", "seed", "recipe")


def recipes(settings: Sequence[str], varied: Sequence[str]) -> list[Recipe]:
    """The default recipe with `settings`, and every combination of the values of `varied`.

    Example:

    >>> [recipe.rate for recipe in recipes(["steps=50"], ["rate=1e-4,1e-3"])]
    [0.0001, 0.001]
    """
    base = replace(Recipe(), **{name: values[0] for name, values in map(_parsed, settings)})
    choices = [[(name, value) for value in values] for name, values in map(_parsed, varied)]
    return [replace(base, **dict(chosen)) for chosen in itertools.product(*choices)]


def _parsed(text: str) -> tuple[str, list[Any]]:
    name, _, values = text.partition("=")
    types = {name: type(value) for name, value in asdict(Recipe()).items()}
    if name not in types:
        raise SystemExit(f"A recipe has {', '.join(types)}. Received: {name!r}.")
    return name, [types[name](value) for value in values.split(",")]


def _measure_all(options: argparse.Namespace) -> Iterator[Row]:
    lines = Lines(options.output, _MEASURED)
    tried = recipes(options.set, options.vary)
    sets = load_present(options.data, echo=lambda line: print(line, file=sys.stderr))
    for images, per_class in itertools.product(sets, options.per_class):
        bench = None
        for seed, recipe in itertools.product(range(options.seeds), tried):
            row = {
                "data": images.name,
                "backbone": options.backbone,
                "per_class": per_class,
                "seed": seed,
                "recipe": asdict(recipe),
            }
            if (known := lines.find(row)) is not None:
                yield known
                continue
            sample = draw(images, per_class, seed, most_tests=options.tests)
            if sample is None:
                continue
            if bench is None:
                from benchmarks.accuracy.trials import Trials

                bench = Trials(options.backbone, options.weights, images)
            row |= bench.measure(recipe, sample, seed=seed)
            lines.add(row)
            print(_line(row), file=sys.stderr, flush=True)
            yield row


def _line(row: Row) -> str:
    gain = 100 * (row["accuracy"] - row["solved_accuracy"])
    return (
        f"{row['data']} {row['per_class']} seed {row['seed']} {_short(row['recipe'])}: "
        f"{row['accuracy']:.3f} ({gain:+.1f}), {row['seconds']:.1f} s"
    )


def _short(recipe: Row) -> str:
    usual = asdict(Recipe())
    return " ".join(f"{name}={value}" for name, value in recipe.items() if value != usual[name])


def table(rows: Sequence[Row]) -> str:
    """Points of accuracy over the solved head, by recipe and set: mean and spread over seeds."""
    columns = sorted({(row["data"].rpartition("/")[2], row["per_class"]) for row in rows})
    lines = ["| recipe | " + " | ".join(f"{data} {count}" for data, count in columns) + " | mean |"]
    lines.append("|---|" + "---:|" * (len(columns) + 1))
    for recipe in dict.fromkeys(_short(row["recipe"]) for row in rows):
        cells, means = [], []
        for column in columns:
            gains = [
                100 * (row["accuracy"] - row["solved_accuracy"])
                for row in rows
                if (row["data"].rpartition("/")[2], row["per_class"]) == column
                and _short(row["recipe"]) == recipe
            ]
            spread = f" ± {stdev(gains):.1f}" if len(gains) > 1 else ""
            cells.append(f"{mean(gains):+.1f}{spread}" if gains else "-")
            means += [mean(gains)] if gains else []
        lines.append(f"| {recipe or 'default'} | {' | '.join(cells)} | {mean(means):+.1f} |")
    return "\n".join(lines)


def evidence_table(rows: Sequence[Row]) -> str:
    """What the training images said of fine-tuning, and what it gained, most certain first."""
    samples: dict[tuple[str, int, int], list[Row]] = {}
    for row in rows:
        samples.setdefault((row["data"], row["per_class"], row["seed"]), []).append(row)
    lines = [
        "| images | best block | ratio | certainty | points gained |",
        "|---|---|---:|---:|---:|",
    ]
    certainties = {key: own[0]["evidence"]["certainty"] for key, own in samples.items()}
    for key in sorted(samples, key=lambda key: -certainties[key]):
        evidence = samples[key][0]["evidence"]
        gains = [100 * (row["accuracy"] - row["solved_accuracy"]) for row in samples[key]]
        data, count, seed = key
        lines.append(
            f"| {data.rpartition('/')[2]}, {count} per class, seed {seed} | {evidence['block']} "
            f"| {evidence['ratio']:.2f} | {evidence['certainty']:+.1f} | {mean(gains):+.1f} |"
        )
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy.fine_tuning",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", nargs="+", default=["digits", "photographs"])
    parser.add_argument("--per-class", nargs="+", type=int, default=[10])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tests", type=int, default=400, help="held-out images, at most")
    parser.add_argument("--backbone", default="bundled:efficientnet_lite0")
    parser.add_argument("--weights", default="default")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--vary", nargs="*", default=[], metavar="NAME=VALUE,...")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.jsonl")
    return parser


def main() -> None:
    """Measure, and print the tables."""
    rows = list(_measure_all(_parser().parse_args()))
    print(table(rows))
    if rows:
        print()
        print(evidence_table(rows))


if __name__ == "__main__":
    main()
