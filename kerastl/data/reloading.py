"""Labelled images once more: at another size, or some of them in an order of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.utils.data import DataLoader

from kerastl.backbones.base import Resizing
from kerastl.data.assigning import PARTS, Part
from kerastl.data.batches import ImageDataset, image_loader
from kerastl.data.loading import ImageData
from kerastl.data.resizing import ImageSettings


def at_size(data: ImageData, image_size: int, resizing: Resizing | None = None) -> ImageData:
    """The same images in the same parts and order, unchanged, at another size.

    Nothing is looked for or checked again: images that were found broken stay out.

    Args:
        data: What `load_data` gave.
        image_size: Height and width, pixels.
        resizing: The evaluation resize of the weights that will see them.
    """
    old = data.settings
    settings = ImageSettings.checked(
        image_size, resize=old.resize, resizing=resizing, background=old.background
    )
    datasets: dict[str, ImageDataset] = {
        part: data.dataset(part).resized(settings) for part in PARTS if data.sizes[part]
    }
    loaders = {
        part: image_loader(
            dataset,
            batch_size=data.train.batch_size or 1,
            num_workers=data.train.num_workers,
            sampler=data.train.sampler if part == "train" else None,  # type: ignore[arg-type]
        )
        for part, dataset in datasets.items()
    }
    return data.with_loaders(loaders, datasets, settings)


def some_images(
    data: ImageData, part: Part, numbers: Sequence[int], *, batch_size: int, num_workers: int = 0
) -> DataLoader[Any]:
    """Batches of some images of a part.

    Args:
        data: What `load_data` gave.
        part: "train", "validation" or "test".
        numbers: Which, as `data.labels(part)` counts them, in the order wanted.
        batch_size: Images per batch.
        num_workers: Processes that decode; 0 decodes in this one.
    """
    return image_loader(
        data.dataset(part), batch_size=batch_size, sampler=numbers, num_workers=num_workers
    )
