"""`load_data`: from a spec to batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from kerastl.backbones.base import Resizing
from kerastl.data import split_file
from kerastl.data.assigning import PARTS, Assigned, Part, drawn, recorded
from kerastl.data.augmentation import Augmentation, ChangeImage
from kerastl.data.batches import ImageDataset, default_num_workers, image_loader
from kerastl.data.copies import kept_together, with_copies_told, with_digests
from kerastl.data.depth import dark_color_warning, white_notes, white_of
from kerastl.data.grouping import grouped_by_name, with_groups_told
from kerastl.data.items import BrokenImage, SourceData
from kerastl.data.ordering import SeededOrder
from kerastl.data.parts import NOTHING, PartLoading, UntestedImages
from kerastl.data.resizing import ImageSettings, ResizeMode
from kerastl.data.sampling import SAMPLINGS
from kerastl.data.scanning import without_broken_images
from kerastl.data.sources import read_spec
from kerastl.data.split_file import HASHED, SPLITS, SplitRow
from kerastl.data.splitting import check_fractions
from kerastl.data.tasks import CLASSIFICATION, REGRESSION, check_task
from kerastl.data.understanding import Understanding, understood
from kerastl.errors import unknown_name


@dataclass(frozen=True)
class ImageData:
    """Labelled images in three parts, as `fit` and `evaluate` take them.

    Each batch is `(images, labels)` of torch tensors: pixels 0-255, uint8,
    `(batch, height, width, 3)`, and class numbers, int64, `(batch,)`. Several
    labels per image are 0 or 1, numbers to predict themselves, float32,
    `(batch, classes or numbers)`. Mixed images are float32, and their labels
    shares of the classes, float32, `(batch, classes)`.

    Attributes:
        spec: The spec that the images came from; "arrays" for arrays.
        train: Batches in a new order every epoch.
        validation: Batches in a fixed order, or None if there are none.
        test: Likewise.
        class_names: Name of each class, in the order of the labels, or of each
            number to predict.
        settings: How the images were brought to size.
        task: What the labels are, one of `kerastl.data.tasks.TASKS`.
        understanding: Where the parts came from, and what was left out.
    """

    spec: str
    train: DataLoader[Any]
    validation: DataLoader[Any] | None
    test: DataLoader[Any] | None
    class_names: tuple[str, ...]
    settings: ImageSettings
    task: str = CLASSIFICATION
    understanding: Understanding = field(default=Understanding())
    _skipped_up_front: tuple[BrokenImage, ...] = ()
    _datasets: Mapping[str, ImageDataset] = field(default_factory=dict, repr=False)
    _loading: PartLoading = field(default=PartLoading(Augmentation(), "natural", 0, 0), repr=False)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know of the images before they are used, one sentence each."""
        return (*self.understanding.warnings, *self.understanding.notes)

    @property
    def num_classes(self) -> int:
        """Number of classes, or of numbers to predict."""
        return len(self.class_names)

    @property
    def skipped(self) -> tuple[BrokenImage, ...]:
        """Broken files that were left out so far; of many files, each shows when it is read."""
        met = (image for part in self._datasets.values() for image in part.broken_images())
        return (*self._skipped_up_front, *met)

    @property
    def sizes(self) -> dict[str, int]:
        """Number of images by part, 0 for a part that is not there."""
        return {part: len(self._datasets[part]) if part in self._datasets else 0 for part in PARTS}

    def labels(self, part: Part) -> np.ndarray:
        """Class of each image of a part, without decoding an image.

        Args:
            part: "train", "validation" or "test".

        Returns:
            int64, `(images,)`, or float32, `(images, classes or numbers)`, in
            the order of the part's files: that of `validation`, `test` and
            `in_order("train")`, not that of `train`.
        """
        return self.dataset(part).labels

    def fingerprint(self, part: Part = "train") -> str:
        """A digest of the images of a part, their size, their order and their labels."""
        return self.dataset(part).fingerprint()

    def split_rows(self) -> list[SplitRow]:
        """Every image with its part, label and digest, as a run writes them down."""
        return [row for part, dataset in self._datasets.items() for row in dataset.rows(part)]

    def broken(self) -> dict[str, np.ndarray]:
        """Whether each image of each part has turned out to be broken, `(images,)`."""
        return {part: dataset.broken.numpy() for part, dataset in self._datasets.items()}

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Draw the order of this epoch next.

        Args:
            epoch: Its number, from 0.
            start: How many images of it are left out, as they were drawn before.
        """
        sampler = self.train.sampler
        if isinstance(sampler, SeededOrder):
            sampler.set_epoch(epoch, start)

    def names(self, part: Part) -> tuple[str, ...]:
        """What each image of a part is called: a file by its path.

        Args:
            part: "train", "validation" or "test".

        Returns:
            Names in the order of `in_order`, without the images that have
            turned out to be broken so far.
        """
        return self.dataset(part).names()

    def in_order(self, part: Part) -> DataLoader[Any]:
        """Batches of a part in the order of `labels`, decoded in this process.

        Args:
            part: "train", "validation" or "test".
        """
        return image_loader(self.dataset(part), batch_size=self.batch_size)

    @property
    def batch_size(self) -> int:
        """Images of a batch; the last may have fewer."""
        return self.train.batch_size or 1

    def with_batch_size(self, batch_size: int) -> ImageData:
        """The same images and parts in batches of another size, from the first epoch on."""
        if batch_size == self.batch_size:
            return self
        loaders = self._loading.loaders(self._datasets, batch_size=batch_size)
        return self.with_loaders(loaders, self._datasets)

    def with_loaders(
        self,
        loaders: Mapping[str, DataLoader[Any]],
        datasets: Mapping[str, ImageDataset],
        settings: ImageSettings | None = None,
    ) -> ImageData:
        """The same data with other parts, "train" among them.

        Args:
            loaders: Batches by part.
            datasets: The images of each.
            settings: How they are brought to size; None: as before.
        """
        return replace(
            self,
            train=loaders["train"],
            validation=loaders.get("validation"),
            test=loaders.get("test"),
            settings=settings or self.settings,
            _datasets=datasets,
        )

    def untested(self) -> UntestedImages:
        """The images that are not the test: training images first, then validation's."""
        parts = ("train", "validation")
        return UntestedImages([self._datasets[part] for part in parts if part in self._datasets])

    def with_parts(
        self, *, train: np.ndarray, validation: np.ndarray = NOTHING, test: np.ndarray = NOTHING
    ) -> ImageData:
        """The same images with other parts; the test stays if no other is named.

        What is changed at random in training, the order and the sampling go on
        for the new training images.

        Args:
            train: Numbers in `untested()`, int64.
            validation: Likewise; nothing: no validation.
            test: Likewise; nothing: the test stays what it is.
        """
        untested = self.untested()
        numbers = {"train": train, "validation": validation, "test": test}
        change = self.dataset("train").change
        cut = {
            part: untested.cut(chosen, change=change if part == "train" else None)
            for part, chosen in numbers.items()
            if len(chosen)
        }
        if "test" not in cut and self.test is not None:
            cut["test"] = self.dataset("test")
        loaders = self._loading.loaders(cut, batch_size=self.batch_size)
        return self.with_loaders(loaders, cut)

    def dataset(self, part: Part) -> ImageDataset:
        """The images of a part one by one, as torch has it.

        Args:
            part: "train", "validation" or "test".
        """
        if part not in self._datasets:
            present = ", ".join(self._datasets)
            raise ValueError(f"`part` must be one of {present}. Received: part={part!r}.")
        return self._datasets[part]


def load_data(
    spec: str | tuple[Any, Any],
    *,
    image_size: int = 224,
    batch_size: int = 32,
    validation_split: float = 0.2,
    test_split: float = 0.2,
    seed: int = 0,
    resize: ResizeMode = "crop",
    resizing: Resizing | None = None,
    background: Sequence[int] = (255, 255, 255),
    skip_broken: bool = False,
    num_workers: int | None = None,
    progress: bool = False,
    class_names: Sequence[str] | None = None,
    task: str = CLASSIFICATION,
    augment: str | Augmentation = "none",
    sampling: str = "natural",
    split: str | Path = HASHED,
    group_by: str | None = None,
    white: int | None = None,
) -> ImageData:
    """Labelled images as batches for training, validation and test.

    Parts that the data have themselves are used as they are. Each of the
    others is drawn from the training images by a hash of what they are called:
    every class in proportion, or all together where an image has several labels
    or numbers; groups, and copies of an image, whole.

    Args:
        spec: `folder:PATH`, `csv:FILE`, `tfds:NAME[:CONFIG]`, `hf:NAME`,
            `hf:FOLDER`, `wds:PATTERN`, `digits`, or a pair of arrays: pixels
            0-255, `(images, height, width, 3 or 1)` or `(images, height,
            width)`, and class numbers, `(images,)`.
        image_size: Height and width of every image, pixels.
        batch_size: Images per batch.
        validation_split: Fraction for validation, in `[0, 1)`; 0 for none.
        test_split: Fraction for the test, in `[0, 1)`; 0 for none.
        seed: Number that fixes the split and the order of training.
        resize: "crop" (shorter side to the resize size, then the centre, as
            in the weights' own evaluation), "squash" or "pad".
        resizing: The weights' own evaluation resize; by default 256 to 224.
        background: Red, green and blue, 0-255, under transparency and beside
            a padded image.
        skip_broken: Whether files that cannot be decoded are left out; by
            default they are an error that lists them. Up to 5,000 files are
            checked here; of more, each when it is first read.
        num_workers: Processes that decode; by default up to 4, and none for
            images in memory. With `tfds` sets, JAX or TensorFlow the script
            that trains needs the usual `if __name__ == "__main__":`.
        progress: Whether a long check of the files shows a bar on stderr.
        class_names: Names of the classes, for arrays only.
        task: "classification"; "multi-label", where the labels of arrays are
            0 or 1, `(images, classes)`; or "regression", where they are
            numbers, `(images,)` or `(images, numbers)`. The last two are for
            arrays and `csv` files.
        augment: What is changed at random in training images: a preset
            ("light", "standard", "strong"), or an `Augmentation`.
        sampling: "natural", or "balanced": as many images of each class in an
            epoch.
        split: "hashed"; "positional", as kerastl 0.1 drew the parts; or the
            split.csv of a run, whose parts are taken as they were.
        group_by: A regular expression: files in whose names it finds the same
            are one group, as of one patient, and stay in one part.
        white: Value of 16-bit grey that becomes 255; None: that of the bits in use.

    Returns:
        The parts, with the names of the classes.

    Raises:
        ValueError: If an argument is outside its range, or the data are
            missing, unlabelled or too few to be split.
        UnknownNameError: If no source or data set has that name.
        BrokenImagesError: If files cannot be decoded; lists them.

    Example:

    >>> data = load_data("digits", image_size=32)
    >>> data.sizes
    {'train': 1079, 'validation': 359, 'test': 359}
    """
    settings = ImageSettings.checked(
        image_size, resize=resize, resizing=resizing, background=background
    )
    _check_count("batch_size", batch_size, at_least=1)
    _check_count("seed", seed, at_least=0)
    if num_workers is not None:
        _check_count("num_workers", num_workers, at_least=0)
    check_fractions(validation_split, test_split)
    check_task(task)
    if isinstance(augment, str):
        augment = Augmentation(augment)
    source, in_memory = read_spec(spec, class_names, task)
    _check_training_options(augment, sampling, task)
    source, skipped = without_broken_images(source, skip_broken=skip_broken, progress=progress)
    source = with_digests(source)
    if group_by is not None:
        source = grouped_by_name(source, group_by)
    found = white_of(source) if white is None else None
    settings = replace(settings, white=white or found)
    dark = dark_color_warning(source)
    told = source.understanding.with_remarks(
        warnings=[dark] if dark else [], notes=white_notes(found)
    )
    source = with_copies_told(with_groups_told(replace(source, understanding=told)))
    if split == HASHED:
        source = kept_together(source)
    fractions = {"test": test_split, "validation": validation_split} if split in SPLITS else {}
    assigned = _assigned(source, fractions, seed=seed, split=split)
    change = None
    if augment.changes_images:
        change = ChangeImage(augment, image_size=image_size, background=background, seed=seed)
    datasets = {
        part: ImageDataset(
            items,
            indices,
            settings,
            assigned.class_names,
            skip_broken=skip_broken,
            change=change if part == "train" else None,
        )
        for part, (items, indices) in assigned.parts.items()
    }
    workers = default_num_workers(in_memory=in_memory) if num_workers is None else num_workers
    loading = PartLoading(augment, sampling, seed, workers)
    loaders = loading.loaders(datasets, batch_size=batch_size)
    return ImageData(
        spec=spec if isinstance(spec, str) else "arrays",
        train=loaders["train"],
        validation=loaders.get("validation"),
        test=loaders.get("test"),
        class_names=assigned.class_names,
        settings=settings,
        task=task,
        understanding=understood(source, fractions).with_remarks(notes=assigned.notes),
        _skipped_up_front=skipped,
        _datasets=datasets,
        _loading=loading,
    )


def _check_training_options(augment: Augmentation, sampling: str, task: str) -> None:
    if sampling not in SAMPLINGS:
        listing = f"Choices: {', '.join(SAMPLINGS)}."
        raise unknown_name("sampling", sampling, SAMPLINGS, how_to_list=listing)
    if task != CLASSIFICATION and sampling != "natural":
        raise ValueError(
            f"`sampling` must be 'natural' with task={task!r}, where an image is not of one class. "
            f"Received: sampling={sampling!r}. Leave it out."
        )
    if augment.mixes and task == REGRESSION:
        raise ValueError(
            "`mixup` and `cutmix` must be left out with task='regression', whose numbers they "
            "would mix. Leave them out."
        )


def _check_count(name: str, value: int, *, at_least: int) -> None:
    if not isinstance(value, int | np.integer) or value < at_least:
        raise ValueError(
            f"`{name}` must be a whole number, {at_least} or more. Received: {name}={value!r}."
        )


def _assigned(
    data: SourceData, fractions: Mapping[str, float], *, seed: int, split: str | Path
) -> Assigned:
    if split in SPLITS:
        return drawn(data, fractions, seed=seed, how=str(split))
    return recorded(data, split_file.load(Path(split)))
