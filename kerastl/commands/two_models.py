"""Two saved models on the same images, for `kerastl evaluate`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from kerastl.commands.model_data import data_config, split_of
from kerastl.data import split_file
from kerastl.data.spec_paths import same_data
from kerastl.data.tasks import CLASSIFICATION
from kerastl.internals.tables import align
from kerastl.runs.config import RunConfig

_SPLIT = ("validation_split", "test_split", "seed")


def shared_data(model: Path, other: Path, data: str | None) -> RunConfig | None:
    """The options to load images with that neither model was trained on, as far as runs say so.

    Args:
        model: A run folder or a `.keras` file.
        other: Another.
        data: A data spec; None for the data of both runs.

    Returns:
        The options of a run of these data, split as in that run, else without
        any split; None where neither the user nor both runs say which data.

    Raises:
        ValueError: If both are runs of other data, or of other splits.
    """
    first, second = data_config(model, data), data_config(other, data)
    if first is None or second is None:
        return None
    if not same_data(first.data, second.data):
        raise ValueError(
            f"`other` must be a run of the data of `model`, {first.data}. Received: {other}, a "
            f"run of {second.data}. Say on which images to compare them: --data SPEC."
        )
    of_data = [_is_run_of(one, first.data) for one in (model, other)]
    if all(of_data):
        _check_same_test((model, other), (first, second))
    return second if of_data == [False, True] else first


def _check_same_test(paths: tuple[Path, Path], configs: tuple[RunConfig, RunConfig]) -> None:
    files = [split_of(path, config) for path, config in zip(paths, configs, strict=True)]
    tests = [None if file is None else split_file.load(file).paths("test") for file in files]
    first, second = (_split(config) for config in configs)
    differ = first != second if None in tests else tests[0] != tests[1]
    if differ:
        raise ValueError(
            f"`other` must be a run with the test images of `model`, split with {first}. Received: "
            f"{paths[1]} with {second}{'' if first != second else ' of other files'}, so one was "
            "trained on images that the other is tested on. Name images that neither has seen: "
            "--data SPEC."
        )


def check_alike(model: Any, other: Any) -> None:
    """Refuse two models that do not answer the same question.

    Raises:
        ValueError: Naming what differs.
    """
    if model.task != other.task:
        raise ValueError(
            f"`other` must have the task of `model`, {model.task}. Received: {other.task}. "
            "Compare models of one task."
        )
    names = [list(one.class_names or _numbered(one)) for one in (model, other)]
    # Names that a model was not given may be any.
    named = model.class_names and other.class_names
    if names[0] == names[1] or (not named and len(names[0]) == len(names[1])):
        return
    only = [[name for name in names[one] if name not in names[1 - one]] for one in (0, 1)]
    differing = "; ".join(
        f"only in {which}: {', '.join(found)}"
        for which, found in zip(("`model`", "`other`"), only, strict=True)
        if found
    )
    raise ValueError(
        f"`other` must have the {len(names[0])} classes of `model`, in its order. Received: "
        f"{differing or 'the same in another order'}. Compare models of the same classes."
    )


def print_comparison(
    paths: tuple[Path, Path], files: tuple[Path, Path], config: RunConfig, *, safe_mode: bool
) -> None:
    """Print both scores, their difference, and whether it is more than noise.

    Args:
        paths: What the user calls the two models.
        files: Their `.keras` files.
        config: The options to load the images with.
        safe_mode: As in `load_model`.
    """
    from kerastl.evaluation import intervals, paired, scoring
    from kerastl.model.files import load_model
    from kerastl.runs import training

    models = [load_model(file, safe_mode=safe_mode) for file in files]
    check_alike(*models)
    scores, names, parts = [], [], ["test"]
    told: set[str] = set()
    split = next(filter(None, (split_of(path, config) for path in paths)), None)
    for model in models:
        images = training.load_images(config, model, split=split)
        scoring.check_class_names(model.class_names, images.class_names, task=model.task)
        for note in [note for note in images.notes if note not in told]:
            click.echo(note, err=True)
            told.add(note)
        if images.test is None:
            parts = [part for part, size in images.sizes.items() if size]
        scores.append(scoring.evaluate(model, _batches(images, parts), images.class_names))
        names.append([name for part in parts for name in images.names(part)])
    if names[0] != names[1]:
        raise ValueError(
            f"`data` must have images that both models can read. Received: {config.data}, of which "
            f"they read {len(names[0]):,} and {len(names[1]):,}. Mend or remove the broken ones."
        )
    found = paired.compare(*scores)
    which = "test part" if parts == ["test"] else "all images (the data has no test part)"
    click.echo(f"{config.data}, {which}: {found.images:,} images")
    rows = [("", found.score, f"{100 * intervals.CONFIDENCE:.0f} % interval")]
    for letter, path, value, interval in zip(
        "AB", paths, found.values, found.intervals, strict=True
    ):
        rows.append((f"{letter}: {path}", f"{value:.4f}", intervals.shown(interval)))
    rows.append(("B - A", f"{found.difference:+.4f}", intervals.shown(found.interval)))
    click.echo(align(rows, right=(1, 2)) + "\n")
    if found.only_right is not None:
        only_a, only_b = found.only_right
        click.echo(f"Only A was right on {only_a:,} images, only B on {only_b:,}.")
    click.echo(found.sentence("A", "B"))


def _batches(images: Any, parts: Sequence[str]) -> Any:
    """Batches of the parts, each in the order of its files."""
    return itertools.chain.from_iterable(
        images.in_order(part) if part == "train" else getattr(images, part) for part in parts
    )


def _numbered(model: Any) -> list[str]:
    # One probability is of two classes.
    is_probability = model.num_classes == 1 and model.task == CLASSIFICATION
    return [str(number) for number in range(2 if is_probability else model.num_classes)]


def _is_run_of(model: Path, data: str) -> bool:
    own = data_config(model, None)
    return own is not None and same_data(own.data, data)


def _split(config: RunConfig) -> str:
    return ", ".join(f"{name}={getattr(config, name)}" for name in _SPLIT)
