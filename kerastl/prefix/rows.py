"""What enters the head for every image, all at once: for a head that is solved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kerastl.data.ordering import SeededOrder
from kerastl.prefix.boundary import Boundary, boundary_of, end_of_backbone
from kerastl.prefix.caching import Kept, PrefixCache, cache_key, source_of
from kerastl.prefix.decision import CacheLimits, CacheWishes, Room, decide
from kerastl.prefix.features import BoundaryFeatures, LabelRows, as_array
from kerastl.prefix.running import RunningPrefix
from kerastl.prefix.sources import ArraySource, ImageSource, LoaderSource, numbered, single
from kerastl.prefix.store import FeatureStore


@dataclass(frozen=True)
class FeatureRows:
    """The pooled features of images, with what came with them.

    Attributes:
        features: `(rows, features)`, in memory or mapped from a file; not for writing.
        columns: What came with the images in a loader: labels, and weights
            after them, `(rows, ...)`; none for arrays.
        images: Which image each row is a view of, int64, `(rows,)`.
    """

    features: np.ndarray
    columns: Sequence[np.ndarray]
    images: np.ndarray


def feature_rows(
    model: Any, x: Any, cache: PrefixCache, *, views: int = 1, batch_size: int = 32
) -> FeatureRows:
    """The features that enter the head, of every image in `x`.

    They are kept for a later `fit` where the whole backbone is frozen and the
    images are known to be the same each time.

    Args:
        model: The classifier.
        x: Images, a `DataLoader`, or batches `(images, labels, ...)` that end.
        cache: What the model keeps; brought up to date.
        views: Views of each image, where images change at random.
        batch_size: Images at a time, of arrays.

    Raises:
        ValueError: If `x` is none of these, or has no image.
        OSError: If neither memory nor disk has room for the rows.
    """
    boundary, source = end_of_backbone(model), source_of(x)
    prefix = RunningPrefix(model, boundary)
    if source is None:
        return _of_batches(prefix, x)
    repeats = isinstance(source, ArraySource) or source.is_known_to_repeat
    views = 1 if repeats else views
    kept = _kept(model, source, prefix, cache, views)
    if isinstance(source, LoaderSource):
        known = _fill_from_loader(source, prefix, kept, views)
    else:
        known = np.ones(source.num_images, bool)
        for start in range(0, source.num_images, batch_size):
            numbers = np.arange(start, min(start + batch_size, source.num_images))
            if not kept.features.store.known[numbers].all():
                kept.features.of(numbers, source.pixels)
    (features,) = kept.features.store.rows
    images = np.tile(np.arange(source.num_images), views)
    if known.all():
        return FeatureRows(features, kept.labels.columns, images)
    return FeatureRows(
        features[known], [column[known] for column in kept.labels.columns], images[known]
    )


def _kept(
    model: Any, source: ImageSource, prefix: RunningPrefix, cache: PrefixCache, views: int
) -> Kept:
    """Where the rows go: the model's cache, or rows of their own."""
    boundary: Boundary = prefix.boundary
    wishes = CacheWishes(views=views, vouches=True)
    room = CacheLimits().room(held=Room(cache.memory_bytes, cache.disk_bytes))
    decision = decide(boundary, source, wishes, room, epochs=2)
    if decision.place is None:
        raise OSError(
            f"The features of {source.num_images:,} images must fit into memory or on disk. "
            f"The cache is {decision.reason}. Free some space, or train the head."
        )
    if boundary_of(model) == boundary and source.is_known_to_repeat:
        cache.open(cache_key(model, boundary))
        return cache.features(source, source.fingerprint(), prefix, decision, views=views)
    rows = source.num_images * views
    store = FeatureStore(boundary, rows, on_disk=decision.place == "disk")
    features = BoundaryFeatures(prefix, store, num_images=source.num_images, views=views)
    return Kept(features, LabelRows(rows))


def _fill_from_loader(
    source: LoaderSource, prefix: RunningPrefix, kept: Kept, views: int
) -> np.ndarray:
    """Read every image once per view; whether each row is there, broken images aside."""
    sampler = getattr(source.loader.batch_sampler, "sampler", None)
    order = sampler if isinstance(sampler, SeededOrder) else None
    before = 0 if order is None else order.epoch
    known = kept.features.store.known
    reading: Any = None
    try:
        for view in range(views):
            rows = slice(view * source.num_images, (view + 1) * source.num_images)
            if (known[rows] | source.absent).all():
                continue
            prefix.epoch = view
            if order is not None:
                order.set_epoch(view)
            reading = reading or numbered(source.loader)  # its workers stay for the next view
            for numbers, batch in reading:
                _keep(kept, numbers, batch)
            # An order that draws some images twice leaves others out.
            left = np.flatnonzero(~known[rows] & ~source.absent)
            size = source.loader.batch_size or 32
            for start in range(0, len(left), size):
                _keep_one_by_one(source.loader, kept, left[start : start + size])
    finally:
        prefix.epoch = 0
        if order is not None:
            order.set_epoch(before)
    return known.copy()


def _keep(kept: Kept, numbers: np.ndarray, batch: Any) -> None:
    images, *columns = batch
    kept.features.look_at(images)
    rows = kept.features.rows(numbers)
    missing = kept.features.missing(numbers)
    if not missing.any():
        return
    arrays = [np.asarray(keras.ops.convert_to_numpy(column)) for column in columns]
    kept.labels.put(rows[missing], [array[missing] for array in arrays])
    order = {int(number): position for position, number in enumerate(numbers)}
    kept.features.of(numbers, lambda wanted: images[[order[int(number)] for number in wanted]])


def _keep_one_by_one(loader: Any, kept: Kept, numbers: np.ndarray) -> None:
    samples = [(int(number), loader.dataset[int(number)]) for number in numbers]
    sound = [(number, sample) for number, sample in samples if sample is not None]
    if sound:
        batch = loader.collate_fn([sample for _, sample in sound])
        _keep(kept, np.array([number for number, _ in sound], np.int64), batch)


def _of_batches(prefix: RunningPrefix, x: Any) -> FeatureRows:
    features: list[np.ndarray] = []
    columns = []
    for batch in _batches(x):
        images, *others = batch
        if not features:
            prefix.look_at(single(images))
        (values,) = prefix.function(np.asarray(keras.ops.convert_to_numpy(single(images))))
        features.append(as_array(values))
        columns.append([np.asarray(keras.ops.convert_to_numpy(other)) for other in others])
    if not features:
        raise ValueError("`x` must hold images. Received: none. Name data with images in it.")
    rows = np.concatenate(features)
    joined = [np.concatenate(parts) for parts in zip(*columns, strict=True)]
    return FeatureRows(rows, joined, np.arange(len(rows)))


def _batches(x: Any) -> Iterator[tuple[Any, ...]]:
    """The batches of one pass, each `(images, labels, ...)`."""
    if isinstance(x, keras.utils.PyDataset):
        batches: Iterable[Any] = (x[number] for number in range(x.num_batches or 0))
    elif isinstance(x, Iterable) and not isinstance(x, Iterator):
        batches = x
    else:
        raise ValueError(
            "`x` must be arrays, a DataLoader, a PyDataset or a tf.data.Dataset, which end. "
            f"Received: {type(x).__name__}. Give the images as one of these."
        )
    for batch in batches:
        if not isinstance(batch, tuple | list) or len(batch) < 2:
            raise ValueError(
                "`x` must give batches (images, labels) or (images, labels, weights). Received: "
                f"{type(batch).__name__}."
            )
        yield tuple(batch)
