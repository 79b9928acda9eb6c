"""All images of a data set, whatever part they are in, by one number each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kerastl.checking.finding import FoundImage
from kerastl.data.actions import LOOK
from kerastl.data.assigning import PARTS
from kerastl.data.items import FileItems, ImageItems, groups_of
from kerastl.data.resizing import ImageSettings
from kerastl.data.sources import read_spec
from kerastl.data.stored_items import EncodedItems
from kerastl.data.tasks import CLASSIFICATION, MULTI_LABEL

BETWEEN_LABELS = ";"


@dataclass(frozen=True)
class Inventory:
    """The images of a data set, not opened.

    Attributes:
        spec: What the images came from; "arrays" for arrays.
        task: What the labels are, one of `kerastl.data.tasks.TASKS`.
        class_names: Name of each class, or number to predict.
        parts: The parts that the data have themselves.
        part_of_image: Number of the part, `(images,)`.
        place: Number of the image in its part, `(images,)`.
        labels: `(images,)` or `(images, classes or numbers)`.
        groups: What each image is of, text, `(images,)`; or None.
    """

    spec: str
    task: str
    class_names: tuple[str, ...]
    parts: tuple[str, ...]
    part_of_image: np.ndarray = field(repr=False)
    place: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    groups: np.ndarray | None = field(repr=False)
    _items: tuple[ImageItems, ...] = field(repr=False)

    @classmethod
    def of(
        cls, spec: str | tuple[Any, Any], *, task: str, class_names: Sequence[str] | None = None
    ) -> Inventory:
        """What a data spec names, in the parts that it has itself; nothing is split.

        Args:
            spec: As `kerastl.load_data` takes it.
            task: What the labels are.
            class_names: Names of the classes, for arrays only.

        Raises:
            ValueError: If the data are missing or unlabelled.
        """
        source, _ = read_spec(spec, class_names, task)
        parts = tuple(part for part in PARTS if part in source.parts)
        items = tuple(source.parts[part] for part in parts)
        sizes = [len(each.labels) for each in items]
        groups = [found for each in items if (found := groups_of(each)) is not None]
        return cls(
            spec=spec if isinstance(spec, str) else "arrays",
            task=task,
            class_names=tuple(source.class_names),
            parts=parts,
            part_of_image=np.repeat(np.arange(len(parts)), sizes),
            place=np.concatenate([np.arange(size) for size in sizes]),
            labels=np.concatenate([each.labels for each in items]),
            groups=np.concatenate(groups) if len(groups) == len(items) else None,
            _items=items,
        )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def is_of_classes(self) -> bool:
        """Whether each image is of one class."""
        return self.task == CLASSIFICATION

    @property
    def reads_in_threads(self) -> bool:
        """Whether the images are files or stored records, which several threads may read."""
        return all(isinstance(items, EncodedItems) for items in self._items)

    @property
    def sizes(self) -> dict[str, int]:
        """Images by part."""
        return {part: int((self.part_of_image == n).sum()) for n, part in enumerate(self.parts)}

    def image(self, number: int, settings: ImageSettings) -> Image.Image:
        """An image of mode "RGB", no smaller than the settings need it."""
        return self._of(number).image(int(self.place[number]), settings)

    def name(self, number: int) -> str:
        """Its path, or what else its source calls it."""
        return self._of(number).name(int(self.place[number]))

    def encoded(self, number: int) -> Path | bytes | None:
        """Its file, or the content of one; None where it is in memory or of a prepared set."""
        items = self._of(number)
        if isinstance(items, EncodedItems):
            return items.encoded(int(self.place[number]))
        return None

    def path(self, number: int) -> Path | None:
        """Its file; None where it is in memory or a record."""
        items = self._of(number)
        return Path(items.paths[int(self.place[number])]) if isinstance(items, FileItems) else None

    def part(self, number: int) -> str:
        """The part it is in."""
        return self.parts[int(self.part_of_image[number])]

    def label(self, number: int) -> str:
        """Its class; several with `;` between them, numbers likewise."""
        row = self.labels[number]
        if self.is_of_classes:
            return self.class_names[int(row)]
        if self.task == MULTI_LABEL:
            return BETWEEN_LABELS.join(self.class_names[n] for n in np.flatnonzero(row))
        return BETWEEN_LABELS.join(f"{value:g}" for value in row)

    def found(
        self, number: int | np.integer[Any], action: str = LOOK, *, suggested_label: str = ""
    ) -> FoundImage:
        """An image as a finding has it."""
        number = int(number)
        return FoundImage(
            number,
            self.name(number),
            self.part(number),
            self.label(number),
            action,
            suggested_label,
        )

    def fingerprint(self) -> str:
        """Something that changes when an image does, or their order."""
        marks = []
        for part, items in zip(self.parts, self._items, strict=True):
            marks += [part, items.fingerprint(np.arange(len(items.labels)))]
        return "\n".join(marks)

    def _of(self, number: int) -> ImageItems:
        return self._items[int(self.part_of_image[number])]
