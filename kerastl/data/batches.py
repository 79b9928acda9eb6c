"""Batches for training: a torch dataset over images, and its loader."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from kerastl.data.augmentation import ChangeImage
from kerastl.data.contents import Contents
from kerastl.data.decoding import decoding_reason, quiet_decoding
from kerastl.data.items import BrokenImage, ImageItems, JoinedItems, groups_of
from kerastl.data.resizing import ImageSettings, resized
from kerastl.data.split_file import SplitRow, label_text
from kerastl.errors import BrokenImagesError, worker_ended
from kerastl.internals.jax_threads import jax_runs
from kerastl.internals.loaders import worker_fate
from kerastl.processes.launch import launched

_MOST_WORKERS = 4
# What Keras 3.15 says where a pass has fewer batches than its loader's length.
_KERAS_MISSES_BATCHES = "Your input ran out of data"


class OnlyBrokenError(BrokenImagesError):
    """A batch without an image that can be decoded; a loader goes on with the next one."""


class ImageDataset(Dataset[tuple[np.ndarray, Any] | None]):
    """Some of the images of a source, brought to one size.

    An image is the same each time in an epoch. One that cannot be decoded is
    an error, or None where such images are left out.

    Args:
        items: The images of the source.
        indices: Which of them.
        settings: How they are brought to size.
        classes: Name of each class.
        skip_broken: Whether images that cannot be decoded are left out.
        change: Changes each image at random, by epoch and number, or None.

    Attributes:
        change: As given.
        labels: Class of each image, int64, `(images,)`, or a row for each.
        groups: What each image is of, where the source says it, `(images,)`, or None.
        classes: Name of each class, as torchvision's data sets have it.
        can_fork: Whether the images can be read in a forked process.
        repeats: Whether an image is the same each time.
        epoch: Number of the epoch, int64, `(1,)`; worker processes read it.
        broken: Whether each image has turned out to be broken, `(images,)`;
            worker processes write it too.
    """

    def __init__(
        self,
        items: ImageItems,
        indices: np.ndarray,
        settings: ImageSettings,
        classes: Sequence[str],
        *,
        skip_broken: bool = False,
        change: ChangeImage | None = None,
    ) -> None:
        self.change = change
        self.repeats = change is None
        self.epoch = torch.zeros(1, dtype=torch.int64).share_memory_()
        self._items = items
        self._indices = indices
        self._settings = settings
        self._skip_broken = skip_broken
        self.labels: np.ndarray = items.labels[indices]
        groups = groups_of(items)
        self.groups = None if groups is None else groups[indices]
        self.classes = tuple(classes)
        self.can_fork = items.can_fork
        self.broken = torch.zeros(len(indices), dtype=torch.bool).share_memory_()
        self.contents = Contents(len(indices))

    def __len__(self) -> int:
        return len(self._indices)

    @property
    def white(self) -> int | None:
        """Value of 16-bit grey that is white; None where there is no such image."""
        return self._settings.white

    def name(self, index: int) -> str:
        """Path of an image's file, or what else its source calls it."""
        return self._items.name(int(self._indices[index]))

    def key(self, index: int) -> str:
        """What tells an image from the others of its source, wherever that is."""
        return self._items.key(int(self._indices[index]))

    def rows(self, part: str) -> list[SplitRow]:
        """Each image as a run writes it down.

        Args:
            part: The part that these are.
        """
        return [
            SplitRow(
                self._items.key(index),
                part,
                label_text(self.labels[number], self.classes),
                self._items.digest(index) or self.contents.digest(number),
            )
            for number, index in enumerate(map(int, self._indices))
        ]

    def identity(self) -> str:
        """A digest of the images, by their content where it is known, their order and labels.

        Unlike `fingerprint` it is the same for files that were copied anew.
        """
        digest = hashlib.blake2b(digest_size=16)
        for index, label in zip(map(int, self._indices), self.labels, strict=True):
            about = (
                self._items.key(index),
                self._items.content(index),
                label_text(label, self.classes),
            )
            digest.update(repr(about).encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def fingerprint(self) -> str:
        """A digest of the images, their order, their size and their labels."""
        digest = hashlib.blake2b(repr(self._settings).encode(), digest_size=16)
        if self.white is not None:
            digest.update(f"white {self.white}".encode())
        digest.update(self._indices.tobytes())
        digest.update(self.labels.tobytes())
        digest.update(self._items.fingerprint(self._indices).encode())
        digest.update(repr(self.change).encode())
        if self.groups is not None:
            digest.update("\n".join(self.groups.tolist()).encode())
        return digest.hexdigest()

    def cut(self, numbers: np.ndarray, *, change: ChangeImage | None = None) -> ImageDataset:
        """Some of the images as a data set of its own.

        Args:
            numbers: Which of them, int64.
            change: Changes each image at random, or None.
        """
        return self._with(self._items, self._indices[numbers], change)

    def joined_with(self, other: ImageDataset) -> ImageDataset:
        """These images and those of another data set after them, none changed at random."""
        if other._items is self._items:
            return self._with(self._items, np.concatenate([self._indices, other._indices]), None)
        items = JoinedItems(self._items, other._items)
        return self._with(
            items, np.concatenate([self._indices, items.start + other._indices]), None
        )

    def _with(
        self, items: ImageItems, indices: np.ndarray, change: ChangeImage | None
    ) -> ImageDataset:
        return ImageDataset(
            items,
            indices,
            self._settings,
            self.classes,
            skip_broken=self._skip_broken,
            change=change,
        )

    def __getitem__(self, index: int) -> tuple[np.ndarray, Any] | None:
        try:
            pixels = self._pixels(index)
        except Exception:  # Pillow's decoders raise almost anything on broken data
            self.broken[index] = True
            if self._skip_broken:
                return None
            raise
        self.contents.take(index, self._items, int(self._indices[index]))
        if self.change is not None:
            pixels = self.change(pixels, epoch=int(self.epoch), number=index)
        label = self.labels[index]
        return pixels, label if self.labels.ndim > 1 else int(label)

    def _pixels(self, index: int) -> np.ndarray:
        with quiet_decoding():
            image = self._items.image(int(self._indices[index]), self._settings)
        return resized(image, self._settings)

    def resized(self, settings: ImageSettings) -> ImageDataset:
        """The same images, unchanged, brought to another size."""
        return ImageDataset(
            self._items, self._indices, settings, self.classes, skip_broken=self._skip_broken
        )

    def names(self) -> tuple[str, ...]:
        """What each image is called, those left out that have turned out to be broken."""
        return tuple(self.name(int(index)) for index in torch.nonzero(~self.broken))

    def broken_images(self) -> list[BrokenImage]:
        """The images that have turned out to be broken, and why."""
        return [self._broken_image(int(index)) for index in torch.nonzero(self.broken)]

    def _broken_image(self, index: int) -> BrokenImage:
        name = Path(self.name(index))
        try:
            self._pixels(index)
        except Exception as error:
            return BrokenImage(name, decoding_reason(error))
        return BrokenImage(name, "it could not be read, and now it can")


class ImageLoader(DataLoader[Any]):
    """A loader whose broken images are named in one sentence, also those of worker processes."""

    def __iter__(self) -> Any:
        try:
            batches = super().__iter__()
        except Exception as error:
            _tell_dead_worker(self, error)
            raise
        return _naming_broken_images(batches, self.dataset)


def _tell_dead_worker(batches: Any, error: Exception) -> None:
    """Raise what there is to say where a worker process has ended.

    Raises:
        WorkerError: If so.
    """
    if (fate := worker_fate(batches, error)) is not None:
        raise worker_ended(*fate) from None


def _naming_broken_images(batches: Iterator[Any], dataset: Any) -> Iterator[Any]:
    """The batches, without those whose images are all broken and to be left out.

    Raises:
        BrokenImagesError: If an image is broken that is not to be left out, or
            if all are.
    """
    left_out = given = 0
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            break
        except OnlyBrokenError:  # torch's loaders go on after an error
            left_out += 1
            continue
        except Exception as error:
            _tell_dead_worker(batches, error)
            contents = getattr(dataset, "contents", None)
            if contents is not None and (changed := contents.changed):
                raise ValueError(
                    "The images must be what they were when the run began. Received: another "
                    f"content of {dataset.name(changed[0])}. Start anew with --overwrite."
                ) from None
            broken = dataset.broken_images()
            if not broken:
                raise
            # `from None`: the traceback of a worker process says no more.
            raise BrokenImagesError(
                f"An image cannot be decoded: {broken[0].path}: {broken[0].reason}. Mend or remove "
                "it, or pass `skip_broken=True`, in the shell --skip-broken, to leave such images "
                "out."
            ) from None
        given += 1
        yield batch
    if left_out and not given:
        broken = dataset.broken_images()
        example = f" One of them: {broken[0].path}: {broken[0].reason}." if broken else ""
        raise BrokenImagesError(
            "Of the images in a pass one at least must be sound. Received: none that can be "
            f"decoded.{example} Mend the files."
        )
    if left_out:
        # It is what the user has asked for, and `skipped` lists the images.
        expect_fewer_batches()


def expect_fewer_batches() -> None:
    """From now on Keras does not warn of a pass with fewer batches than its loader's length."""
    warnings.filterwarnings("ignore", _KERAS_MISSES_BATCHES, UserWarning)


def collate_sound(samples: Sequence[Any]) -> Any:
    """A batch of the samples that are not None.

    Raises:
        OnlyBrokenError: If all are.
    """
    sound = [sample for sample in samples if sample is not None]
    if not sound:
        raise OnlyBrokenError(f"None of the {len(samples)} images of a batch can be decoded.")
    return default_collate(sound)


def image_loader(
    dataset: ImageDataset,
    *,
    batch_size: int,
    sampler: Sampler[int] | Sequence[int] | None = None,
    collate: Callable[[Sequence[Any]], Any] | None = None,
    num_workers: int = 0,
) -> DataLoader[Any]:
    """Batches of a dataset.

    Args:
        dataset: Images of one size.
        batch_size: Images per batch; the last batch may have fewer.
        sampler: The order, or None for that of the dataset.
        collate: Makes a batch of samples; by default of those that are not None.
        num_workers: Processes that decode, kept between epochs; 0 decodes in
            this one.

    Returns:
        A loader of `(images, labels)`: uint8 `(batch, height, width, 3)` and
        int64 `(batch,)` tensors.
    """
    return ImageLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        collate_fn=collate or collate_sound,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        worker_init_fn=_leave_signals_to_the_main_process,
        # Its own, so that the start of worker processes draws nothing of anyone else's.
        generator=torch.Generator(),
        multiprocessing_context=_start_method(dataset) if num_workers else None,
    )


def default_num_workers(*, in_memory: bool) -> int:
    """Worker processes that suit this machine, as one of those that train together on it.

    None for images in memory.
    """
    if in_memory:
        return 0
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(_MOST_WORKERS, (usable or 1) // launched().local_world_size))


def _leave_signals_to_the_main_process(worker: int) -> None:
    """A terminal or a cluster signals all processes; a worker ends when the main one lets it.

    SIGTERM stays as torch has set it: it is how the main process ends a worker.
    """
    for name in ("SIGINT", "SIGHUP", "SIGUSR1", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def _start_method(dataset: ImageDataset) -> str | None:
    """How worker processes start, or None for the platform's own way.

    JAX and TensorFlow run threads of their own, as some datasets do, and a
    process with such threads must not be forked.
    """
    threaded = os.environ.get("KERAS_BACKEND") in ("jax", "tensorflow")
    if dataset.can_fork and not threaded and "tensorflow" not in sys.modules and not jax_runs():
        return None
    available = multiprocessing.get_all_start_methods()
    return "forkserver" if "forkserver" in available else None
