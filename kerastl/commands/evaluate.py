"""`kerastl evaluate`: how well a saved model does on labelled images."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import click

from kerastl.commands.failures import one_clear_line
from kerastl.commands.model_data import changed_notes, data_config, split_notes, split_of
from kerastl.commands.options import (
    backend_of,
    backend_option,
    safe_mode_option,
    skip_broken_option,
)
from kerastl.commands.two_models import print_comparison, shared_data
from kerastl.data.tasks import CLASSIFICATION
from kerastl.evaluation.run_record import METRICS_FILE, REPORT_FILE, load_metrics, model_file
from kerastl.runs import backends
from kerastl.runs.config import RunConfig


@click.command(short_help="Score a model, or compare two, on labelled images.")
@one_clear_line
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("other", type=click.Path(path_type=Path), required=False)
@click.option("--data", help="Labelled images (default: those of the run).")
@click.option("--batch-size", type=click.IntRange(min=1), help="Images per step.")
@click.option("--report", is_flag=True, help=f"Write the run's {REPORT_FILE} and model card anew.")
@skip_broken_option
@backend_option
@safe_mode_option
def evaluate(
    model: Path,
    other: Path | None,
    data: str | None,
    batch_size: int | None,
    skip_broken: bool,
    report: bool,
    backend: str | None,
    safe_mode: bool,
) -> None:
    """Print accuracy, scores per class and the confusion matrix of MODEL.

    MODEL is a run folder or a .keras file. The images are the test part of the
    data, split as in the run; all images where the data has no test part.

    With OTHER, a second model of the same classes, print how far the two are
    apart on the same images, and whether that is more than noise.
    """
    if report and other is not None:
        raise click.UsageError("--report is for one model. Leave out OTHER.")
    if report and (data is not None or not (model / METRICS_FILE).is_file()):
        raise click.UsageError("--report is for a finished run's folder, and its own --data.")
    file = model_file(model)
    other_file = None if other is None else model_file(other)
    config = data_config(model, data) if other is None else shared_data(model, other, data)
    if config is None:
        raise click.UsageError("Say which images: --data SPEC. Only a run folder knows its own.")
    config = dataclasses.replace(
        config,
        batch_size=batch_size or config.batch_size,
        skip_broken=skip_broken or config.skip_broken,
    )
    for note in (note for path in (model, other) if path for note in changed_notes(path)):
        click.echo(note, err=True)
    backends.choose(backend_of(model, backend))
    if other is not None and other_file is not None:
        print_comparison((model, other), (file, other_file), config, safe_mode=safe_mode)
    else:
        _evaluate(model, config, safe_mode, report_in=model if report else None)


def _evaluate(model: Path, config: RunConfig, safe_mode: bool, *, report_in: Path | None) -> None:
    from kerastl.data.class_names import listed
    from kerastl.evaluation import intervals, scoring
    from kerastl.evaluation.resampling import num_images
    from kerastl.evaluation.scores import Evaluation
    from kerastl.model.files import load_model
    from kerastl.runs import training

    classifier = load_model(model_file(model), safe_mode=safe_mode)
    if report_in is not None and classifier.task != CLASSIFICATION:
        raise click.UsageError("--report is for a model of one class per image.")
    split = split_of(model, config)
    images = training.load_images(config, classifier, split=split)
    names = classifier.class_names
    scoring.check_class_names(names, images.class_names, task=classifier.task)
    for note in split_notes(model, config, images):
        click.echo(note, err=True)
    which, batches = _part(images, trained_on=split is not None)
    scores = scoring.evaluate(classifier, batches, images.class_names)
    count = num_images(scores)
    click.echo(f"{config.data}, {which}: {count:,} images")
    if missing := scoring.missing_classes(names, images.class_names):
        click.echo(f"Classes without images in the data: {listed(missing)}.")
    if images.skipped:
        click.echo(f"{len(images.skipped)} broken images were left out.")
    found = intervals.score_intervals(scores)
    click.echo(intervals.described(scores.scores, found, images=count) + "\n")
    click.echo(scores.report())
    if isinstance(scores, Evaluation):
        click.echo("Confusion matrix (rows: true class, columns: predicted):\n")
        click.echo(scores.confusion_table())
    if report_in is not None and isinstance(scores, Evaluation):
        from kerastl.runs.report import write_report

        write_report(
            report_in,
            classifier,
            data=images,
            results=load_metrics(report_in),
            test_scores=scores if images.test is not None else None,
        )
        click.echo(f"Saved {report_in / REPORT_FILE}")


def _part(images: Any, *, trained_on: bool) -> tuple[str, Any]:
    if images.test is not None:
        return "test part", images.test
    parts = [part for part in (images.train, images.validation) if part is not None]
    seen = ", and the model was trained on them" if trained_on else ""
    return f"all images (the data has no test part{seen})", itertools.chain.from_iterable(parts)
