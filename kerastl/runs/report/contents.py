"""Gather the contents of a report from a model, its data and its results."""

from __future__ import annotations

import importlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

from kerastl.blocks.block import HEAD
from kerastl.data.spec_paths import published
from kerastl.errors import reason_of
from kerastl.evaluation import scoring
from kerastl.evaluation.run_record import RunResults
from kerastl.evaluation.scores import Evaluation
from kerastl.internals.versions import versions
from kerastl.runs.report.charts import RATE, History

MOST_EXAMPLES = 8
OUT_OF_FOLD = "out of fold"
"""The part that is judged where a head was solved on all images and there is no test."""

Place = tuple[Any, int]
"""A data set, and the number of an image in it."""


@dataclass(frozen=True)
class Example:
    """One image that the model had trouble with.

    Attributes:
        name: File and folder, or what else the data call the image.
        pixels: As the model saw it, 0-255, uint8, `(height, width, 3)`.
        true: Its class.
        predicted: The most probable class.
        probability: Of the predicted class.
        true_probability: Of its own class.
        heat: Grad-CAM of the predicted class, or None.
    """

    name: str
    pixels: np.ndarray
    true: str
    predicted: str
    probability: float
    true_probability: float
    heat: np.ndarray | None = None


@dataclass(frozen=True)
class TrainedBlock:
    """One block over the whole run.

    Attributes:
        name: Name of the block.
        num_parameters: Parameters; moving statistics do not count.
        trained: "frozen", "solved", "trained", or since which epoch.
        rates: Learning rate of the first epoch that it trained in, the
            highest, and that of the last epoch; None where it was frozen.
    """

    name: str
    num_parameters: int
    trained: str
    rates: tuple[float, float, float] | None


@dataclass(frozen=True)
class ReportContents:
    """Everything that the page and the model card say.

    Attributes:
        config: Every option of the run as resolved, by name, without folders of this machine.
        results: What the run measured.
        history: One row per epoch, as `history.csv` has it.
        versions: What trained the model: each library with its version.
        blocks: Input side first, the head last.
        class_counts: Part -> images of each class, `(classes,)`.
        image_size: Height and width of the model's input, pixels.
        temperature: What the logits are divided by.
        part: The part that `scores` are of, or None if there is none.
        scores: How the model does on that part.
        mistakes: The most confident ones, worst first.
        uncertain: The images whose predicted class got the least, least first.
        grad_cam: What the Grad-CAM pictures are of, or why there are none.
    """

    config: Mapping[str, Any]
    results: RunResults
    history: History
    versions: Mapping[str, str]
    blocks: Sequence[TrainedBlock]
    class_counts: Mapping[str, np.ndarray]
    image_size: int
    temperature: float = 1.0
    part: str | None = None
    scores: Evaluation | None = None
    mistakes: Sequence[Example] = ()
    uncertain: Sequence[Example] = ()
    grad_cam: str = ""


def gather(
    model: Any,
    data: Any,
    *,
    results: RunResults,
    history: History,
    config: Mapping[str, Any],
    test_scores: Evaluation | None = None,
    out_of_fold: tuple[Sequence[str], Evaluation] | None = None,
) -> ReportContents:
    """Look at a trained model and its data.

    Args:
        model: The `ImageClassifier`.
        data: What `load_data` gave for the run.
        results: What the run measured.
        history: One row per epoch.
        config: Every option of the run, by name.
        test_scores: What `evaluate` gave for the test part, if that is known.
        out_of_fold: Names of images, and what models without them gave, where the
            model has seen every image but the test.
    """
    parts = ("test",) if out_of_fold is not None else ("test", "validation")
    part = next((name for name in parts if data.sizes[name]), None)
    scores: Evaluation | None = None
    mistakes: tuple[Example, ...] = ()
    uncertain: tuple[Example, ...] = ()
    grad_cam = ""
    images: Sequence[Place] = ()
    if part is not None:
        batches = getattr(data, part)
        scores = test_scores if part == "test" else None
        scores = scores or scoring.classified(model, batches, data.class_names)
        images = _of_part(batches.dataset)
    elif out_of_fold is not None:
        part, (names, scores) = OUT_OF_FOLD, out_of_fold
        images = _of_names(names, [data.train.dataset, *_validation(data)])
    if scores is not None:
        wrong, unsure = _chosen(scores)
        examples, grad_cam = _examples(model, images, scores, [*wrong, *unsure])
        mistakes, uncertain = examples[: len(wrong)], examples[len(wrong) :]
    return ReportContents(
        config=_published(config),
        results=results,
        history=history,
        versions=all_versions(),
        blocks=_blocks(model, history),
        class_counts={
            name: np.bincount(data.labels(name), minlength=data.num_classes)
            for name, size in data.sizes.items()
            if size
        },
        image_size=model.image_size,
        temperature=model.get_layer(HEAD).temperature,
        part=part,
        scores=scores,
        mistakes=mistakes,
        uncertain=uncertain,
        grad_cam=grad_cam,
    )


def all_versions() -> dict[str, str]:
    """Python, kerastl and what it runs on, each with its version."""
    import keras

    backend = keras.backend.backend()
    # Its package may be called otherwise, as tensorflow-cpu is.
    number = str(importlib.import_module(backend).__version__)
    return {"python": platform.python_version(), **versions(), backend: number}


def _chosen(scores: Evaluation) -> tuple[list[int], list[int]]:
    """The most confident mistakes and the least confident answers, by position."""
    confidence = scores.probabilities.max(axis=1)
    wrong = np.flatnonzero(scores.predicted != scores.labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")]
    unsure = np.argsort(confidence, kind="stable")
    return worst[:MOST_EXAMPLES].tolist(), unsure[:MOST_EXAMPLES].tolist()


def _published(config: Mapping[str, Any]) -> dict[str, Any]:
    """The options without the folders of this machine: the pages are for others too."""
    shown = dict(config)
    for name in ("weights", "output"):
        if shown.get(name):
            shown[name] = PurePath(str(shown[name])).name
    return {**shown, "data": published(str(config["data"]))}


def _of_part(dataset: Any) -> list[Place]:
    """Where each image of a part is; broken images were left out of the batches."""
    return [(dataset, int(number)) for number in np.flatnonzero(~np.asarray(dataset.broken))]


def _of_names(names: Sequence[str], datasets: Sequence[Any]) -> list[Place]:
    """Where each of these images is."""
    places = {
        dataset.name(number): (dataset, number)
        for dataset in datasets
        for number in range(len(dataset))
    }
    return [places[name] for name in names]


def _validation(data: Any) -> list[Any]:
    return [] if data.validation is None else [data.validation.dataset]


def _examples(
    model: Any, images: Sequence[Place], scores: Evaluation, positions: Sequence[int]
) -> tuple[tuple[Example, ...], str]:
    """The images at these positions of the evaluation, and a sentence on their Grad-CAM."""
    places = [images[position] for position in positions]
    pixels = np.stack([np.asarray(dataset[number][0]) for dataset, number in places])
    heats, sentence = _heats(model, pixels, scores.predicted[list(positions)])
    names = scores.class_names
    examples = []
    for row, (position, (dataset, number)) in enumerate(zip(positions, places, strict=True)):
        true, predicted = int(scores.labels[position]), int(scores.predicted[position])
        examples.append(
            Example(
                name="/".join(PurePath(dataset.name(number)).parts[-2:]),
                pixels=pixels[row],
                true=names[true],
                predicted=names[predicted],
                probability=float(scores.probabilities[position, predicted]),
                true_probability=float(scores.probabilities[position, true]),
                heat=None if heats is None else heats[row],
            )
        )
    return tuple(examples), sentence


def _heats(model: Any, pixels: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray | None, str]:
    from kerastl.runs.report import grad_cam

    layer = grad_cam.last_feature_map(model)
    if layer is None:
        return None, "This backbone has no feature map in front of its pooling: no Grad-CAM."
    try:
        heats = grad_cam.class_activation(model, pixels, predicted.tolist(), layer=layer)
    except Exception as error:  # a custom module may do anything; the report goes on without
        return None, f"Grad-CAM could not be computed: {reason_of(error)}"
    rows, columns = heats.shape[1:]
    return heats, f"Grad-CAM is of the {rows} by {columns} features that block {layer} gives."


def _blocks(model: Any, history: History) -> tuple[TrainedBlock, ...]:
    return tuple(_trained(block, history) for block in model.blocks)


def _trained(block: Any, history: History) -> TrainedBlock:
    key = RATE + block.name
    rates = [(row["epoch"], row[key]) for row in history if key in row]
    positive = [(epoch, rate) for epoch, rate in rates if rate > 0]
    if not positive:
        # Without rates in the history only the block itself can say.
        learnt = "solved" if history and block.name == HEAD else "trained"
        trained = learnt if block.trainable and not rates else "frozen"
        return TrainedBlock(block.name, block.num_parameters, trained, None)
    start, first = positive[0]
    trained = "trained" if start == rates[0][0] else f"from epoch {start:.0f}"
    highest, last = max(rate for _, rate in positive), rates[-1][1]
    return TrainedBlock(block.name, block.num_parameters, trained, (first, highest, last))
