"""`check_data`: one pass over a data set, and what is wrong with it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kerastl.checking.classes import class_counts, classes_found
from kerastl.checking.duplicates import copies_found, copy_sets, groups_found, held_together
from kerastl.checking.faults import faults_found
from kerastl.checking.finding import KINDS, LABEL_ERROR, Finding
from kerastl.checking.inventory import Inventory
from kerastl.checking.label_errors import label_errors
from kerastl.checking.reading import SIDE, read
from kerastl.checking.shortcuts import shortcuts_found
from kerastl.data.actions import LOOK
from kerastl.data.resizing import ImageSettings
from kerastl.data.specs import suggested_image_size
from kerastl.data.tasks import CLASSIFICATION, MULTI_LABEL, REGRESSION, check_task

DEFAULT_BACKBONE = "bundled:efficientnet_lite0"
_FEWEST_TO_JUDGE = 20
# Share of the images that must get their label for likely label errors to be more than hints.
_RELIABLE = 0.75


@dataclass(frozen=True)
class DataCheck:
    """What was found in a data set.

    Attributes:
        spec: What the images came from; "arrays" for arrays.
        task: What the labels are.
        class_names: Name of each class, or number to predict.
        images: Number of images by part, as the data have them themselves.
        findings: The gravest kind first.
        notes: What was not looked at, and why.
        expected_label_errors: How many labels confident learning expects to be wrong, more than
            it names where classes are alike; None where it did not look.
        class_counts: Images of each class by part, `(parts, classes)`.
        seconds: What took how long.
    """

    spec: str
    task: str
    class_names: tuple[str, ...]
    images: dict[str, int]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    expected_label_errors: float | None
    class_counts: np.ndarray = field(repr=False)
    seconds: dict[str, float] = field(repr=False)
    inventory: Inventory = field(repr=False)

    @property
    def num_images(self) -> int:
        """Images of all parts."""
        return sum(self.images.values())

    @property
    def counts(self) -> dict[str, int]:
        """Findings by kind, the gravest first; kinds without any are left out."""
        found = {kind.name: len(self.of(kind.name)) for kind in KINDS}
        return {name: count for name, count in found.items() if count}

    @property
    def is_grave(self) -> bool:
        """Whether there is a leak or a contradiction."""
        return any(finding.kind.is_grave for finding in self.findings)

    def of(self, kind: str) -> tuple[Finding, ...]:
        """The findings of a kind, by its name."""
        return tuple(finding for finding in self.findings if finding.kind.name == kind)

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "data": self.spec,
            "task": self.task,
            "classes": list(self.class_names),
            "images": self.images,
            "counts": self.counts,
            "is_grave": self.is_grave,
            "expected_label_errors": self.expected_label_errors,
            "notes": list(self.notes),
            "findings": [finding.to_dict() for finding in self.findings],
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
        }

    def write_page(self, path: str | Path) -> None:
        """Write the page with the pictures, one HTML file that needs nothing beside it.

        Raises:
            ValueError: If the path holds something that kerastl did not write.
        """
        from kerastl.checking.page import write_page

        write_page(self, Path(path))

    def write_csv(self, path: str | Path) -> None:
        """Write a row per finding and image with a proposed action, and one per other image.

        Raises:
            ValueError: If the path holds something that kerastl did not write.
        """
        from kerastl.checking.writing import write_csv

        write_csv(self, Path(path))


def check_data(
    data: str | tuple[Any, Any],
    *,
    backbone: str | None = DEFAULT_BACKBONE,
    weights: str | None = "default",
    image_size: int | None = None,
    task: str = CLASSIFICATION,
    class_names: Sequence[str] | None = None,
    seed: int = 0,
    progress: bool = False,
) -> DataCheck:
    """Look for what spoils a training or its scores: copies, leaks, wrong labels, broken files.

    Nothing is changed, and nothing is split: parts are those that the data
    have themselves. Copies are found where they were saved anew, resized or
    cut by a few per cent. Likely label errors are found by confident learning
    on a head that is solved on frozen features, each image judged by a head
    that has seen neither it nor a copy of it.

    Args:
        data: a spec such as `folder:PATH`, as `kerastl.load_data` takes it, or a
            pair of arrays, as `kerastl.load_data` takes them.
        backbone: Spec of the network for label errors; None: without them,
            which is much faster.
        weights: Its weights: "default", a published name or a local file.
        image_size: Height and width for it, pixels. None: what suits the
            data, else the backbone's own.
        task: "classification", "multi-label" or "regression".
        class_names: Names of the classes, for arrays only.
        seed: Number that fixes the folds.
        progress: Whether to show a bar on stderr.

    Returns:
        The findings; `write_page` and `write_csv` of it write them down.

    Raises:
        ValueError: If the data are missing or unlabelled.
        UnknownNameError: If no source, data set or backbone has that name.

    Example:

        found = kerastl.check_data("folder:flowers/")
        for finding in found.of("leak"):
            print(finding.detail, [image.name for image in finding.images])
    """
    check_task(task)
    start = time.perf_counter()
    seconds: dict[str, float] = {}
    inventory = Inventory.of(data, task=task, class_names=class_names)
    features, notes = None, []
    why_not = _why_no_label_errors(inventory, backbone)
    if why_not:
        notes.append(f"Label errors were not looked for: {why_not}.")
    elif backbone is not None:
        from kerastl.checking.features import ImageFeatures

        size = image_size or (suggested_image_size(data) if isinstance(data, str) else None)
        features = ImageFeatures(inventory, backbone, weights=weights, image_size=size)
    if inventory.groups is None and len(inventory.parts) > 1:
        notes.append("Groups were not compared between parts: the data name none.")
    seconds["opening"] = time.perf_counter() - start
    start = time.perf_counter()
    settings = ImageSettings(2 * SIDE, "squash") if features is None else features.settings
    take = None if features is None or features.were_kept else features.take
    facts = read(inventory, settings, take=take, progress=progress)
    if features is not None:
        features.keep()
        if features.not_kept:
            notes.append(f"Features were not kept: {features.not_kept}.")
    seconds["reading" if take is None else "reading and features"] = time.perf_counter() - start
    start = time.perf_counter()
    sets = copy_sets(facts)
    together = held_together(sets, inventory.groups, len(inventory))
    findings = [
        *copies_found(inventory, facts, sets),
        *groups_found(inventory),
        *faults_found(inventory, facts),
        *classes_found(inventory),
        *shortcuts_found(inventory, facts, together, seed=seed),
    ]
    seconds["copies and faults"] = time.perf_counter() - start
    expected = None
    if features is not None:
        start = time.perf_counter()
        found = _LabelErrors(inventory, *features.predictions(facts, together, seed=seed))
        findings += found.findings()
        expected = found.expected
        notes += found.notes()
        seconds["label errors"] = time.perf_counter() - start
    order = {kind.name: number for number, kind in enumerate(KINDS)}
    return DataCheck(
        spec=inventory.spec,
        task=task,
        class_names=inventory.class_names,
        images=inventory.sizes,
        findings=tuple(sorted(findings, key=lambda finding: order[finding.kind.name])),
        notes=tuple(notes),
        expected_label_errors=expected,
        class_counts=class_counts(inventory),
        seconds=seconds,
        inventory=inventory,
    )


def _why_no_label_errors(inventory: Inventory, backbone: str | None) -> str:
    if backbone is None:
        return "that takes a network, and none was wanted"
    if inventory.task == REGRESSION:
        return "the labels are numbers"
    if len(inventory) < _FEWEST_TO_JUDGE:
        return f"that takes {_FEWEST_TO_JUDGE} images, and there are {len(inventory)}"
    if inventory.is_of_classes and (np.bincount(inventory.labels) > 1).sum() < 2:
        return "that takes two classes of two images each"
    return ""


class _LabelErrors:
    """Likely label errors, of one class per image or of each of several labels.

    Args:
        inventory: The images.
        numbers: Those that were held out.
        probabilities: Of each class for them, `(held out, classes)`.
    """

    def __init__(
        self, inventory: Inventory, numbers: np.ndarray, probabilities: np.ndarray
    ) -> None:
        self._inventory, self._numbers, self._given = inventory, numbers, probabilities
        self.expected = 0.0

    def notes(self) -> list[str]:
        """How far the findings can be relied on, where that is not far."""
        if not self._inventory.is_of_classes or not len(self._numbers):
            return []
        right = self._given.argmax(1) == self._inventory.labels[self._numbers]
        if right.mean() >= _RELIABLE:
            return []
        return [
            f"A head on these features gives only {_percent(right.mean())} of the images their "
            "label, so the likely label errors are hints at most. A larger --image-size or "
            "another --backbone may tell the classes apart better."
        ]

    def findings(self) -> Iterator[Finding]:
        """Each one, the likeliest first."""
        if not len(self._numbers):
            return
        if self._inventory.task == MULTI_LABEL:
            yield from self._of_each_label()
            return
        labels = self._inventory.labels[self._numbers]
        errors = label_errors(self._given, labels)
        self.expected = errors.expected
        names = self._inventory.class_names
        for row, other in zip(errors.numbers, errors.suggested, strict=True):
            own = int(labels[row])
            detail = (
                f"Labelled {names[own]!r} ({_percent(self._given[row, own])}), looks like "
                f"{names[other]!r} ({_percent(self._given[row, other])})"
            )
            image = self._inventory.found(self._numbers[row], LOOK, suggested_label=names[other])
            yield Finding(LABEL_ERROR, detail, (image,))

    def _of_each_label(self) -> Iterator[Finding]:
        """Labels that are missing or too many, each class by itself."""
        labels = self._inventory.labels[self._numbers].astype(np.int64)
        rows: list[tuple[float, int, int]] = []
        for number in range(labels.shape[1]):
            share = self._given[:, number]
            errors = label_errors(np.stack([1 - share, share], 1), labels[:, number])
            self.expected += errors.expected
            rows += [(abs(share[row] - labels[row, number]), row, number) for row in errors.numbers]
        for _, row, number in sorted(rows, key=lambda each: -each[0]):
            name, share = self._inventory.class_names[number], self._given[row, number]
            has = "Has" if labels[row, number] else "Lacks"
            detail = f"{has} the label {name!r}, whose probability is {_percent(share)}"
            yield Finding(LABEL_ERROR, detail, (self._inventory.found(self._numbers[row], LOOK),))


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
