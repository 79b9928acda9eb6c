"""The images that `fit` was given: how many, which is which, whether they repeat."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kerastl.blocks.block import IMAGES
from kerastl.data.label_changes import ChangedCollate
from kerastl.data.part_of_batches import CollatePart
from kerastl.internals.loaders import remade
from kerastl.prefix.numbering import Numbered, NumberedCollate, as_numbers


@dataclass(frozen=True)
class ArraySource:
    """Images in an array or tensor: the same in every epoch.

    Attributes:
        images: Pixels 0-255, `(images, height, width, 3)`.
        is_known_to_repeat: Whether an image is known to be the same each time.
        why_not: Otherwise, why that is not known.
    """

    images: Any
    is_known_to_repeat: bool = True
    why_not: str = ""

    @property
    def num_images(self) -> int:
        """How many."""
        return int(self.images.shape[0])

    def pixels(self, indices: np.ndarray) -> np.ndarray:
        """Some of the images."""
        if _is_torch_tensor(self.images):
            import torch

            # Where they are: Keras would move all of them to its device for each batch.
            taken = self.images[torch.as_tensor(indices, device=self.images.device)].cpu()
            on_torch = keras.backend.backend() == "torch"
            return np.asarray(keras.ops.convert_to_numpy(taken) if on_torch else taken)
        if keras.ops.is_tensor(self.images):
            taken = keras.ops.take(self.images, indices, axis=0)
            return np.asarray(keras.ops.convert_to_numpy(taken))
        return np.asarray(self.images[indices])

    def fingerprint(self) -> str:
        """A digest of every pixel."""
        digest = hashlib.blake2b(digest_size=16)
        step = 1024
        for start in range(0, self.num_images, step):
            chunk = self.pixels(np.arange(start, min(start + step, self.num_images)))
            digest.update(np.ascontiguousarray(chunk).view(np.uint8).data)
        return f"{self.images.shape} {self.images.dtype} {digest.hexdigest()}"


class LoaderSource:
    """A torch `DataLoader` over numbered images.

    Args:
        loader: Makes batches `(images, labels, ...)` of a map-style data set.

    Attributes:
        num_images: How many images it has.
        is_known_to_repeat: Whether an image is known to be the same each time.
        why_not: Otherwise, why that is not known.
    """

    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self.num_images = len(loader.dataset)
        repeats = getattr(loader.dataset, "repeats", False) is True
        self.is_known_to_repeat = repeats and _only_stacks(loader.collate_fn)
        changes = "collate function may change the" if repeats else "data set may change its"
        self.why_not = f"the {changes} images at random"

    @property
    def absent(self) -> np.ndarray:
        """Whether each image has turned out to be broken and is left out."""
        found = getattr(self.loader.dataset, "broken", None)
        return np.zeros(self.num_images, bool) if found is None else np.asarray(found)

    def fingerprint(self) -> str:
        """The data set's own description, or which object it is, and what makes batches of it."""
        dataset = self.loader.dataset
        own = dataset.fingerprint() if self.is_known_to_repeat else f"object {id(dataset)}"
        return f"{own} {self.loader.collate_fn!r}"


ImageSource = ArraySource | LoaderSource


def single(inputs: Any) -> Any:
    """The images in what Keras takes for a model of one input: alone, in a list or in a dict."""
    if isinstance(inputs, list | tuple) and len(inputs) == 1:
        return inputs[0]
    if isinstance(inputs, dict) and list(inputs) == [IMAGES]:
        return inputs[IMAGES]
    return inputs


def array_source(x: Any) -> ArraySource | None:
    """The source for the first argument of `fit` where that is an array or tensor."""
    is_array = isinstance(x, np.ndarray) or keras.ops.is_tensor(x) or _is_torch_tensor(x)
    return ArraySource(x) if is_array and len(x.shape) == 4 else None


def loader_source(x: Any) -> LoaderSource | None:
    """The source for a `DataLoader` that numbers its images and makes batches of them."""
    try:
        from torch.utils.data import DataLoader, IterableDataset
    except ImportError:
        return None
    from kerastl.data.batches import ImageLoader

    if not isinstance(x, DataLoader) or isinstance(x.dataset, IterableDataset):
        return None
    if type(x).__iter__ not in (DataLoader.__iter__, ImageLoader.__iter__):
        return None  # what it does to the batches would be left out
    return LoaderSource(x) if x.batch_sampler is not None else None


def numbered(loader: Any) -> Any:
    """The same loader with `(numbers, batch)` for each batch."""
    return remade(
        loader, dataset=Numbered(loader.dataset), collate=NumberedCollate(loader.collate_fn)
    )


def numbers_only(loader: Any) -> Iterator[np.ndarray]:
    """The numbers of each batch of the loader's next epoch; no image is read."""
    from torch.utils.data import DataLoader

    return iter(
        DataLoader(
            range(len(loader.dataset)),  # type: ignore[arg-type]
            batch_sampler=loader.batch_sampler,
            collate_fn=as_numbers,
            generator=loader.generator,
        )
    )


def _only_stacks(collate: Any) -> bool:
    """Whether a collate function is known to make a batch of the samples as they are."""
    from torch.utils.data import default_collate

    from kerastl.data.batches import collate_sound

    if isinstance(collate, ChangedCollate | CollatePart):
        return _only_stacks(collate.inner)
    return collate in (default_collate, collate_sound)


def _is_torch_tensor(x: Any) -> bool:
    return type(x).__module__.partition(".")[0] == "torch" and hasattr(x, "detach")
