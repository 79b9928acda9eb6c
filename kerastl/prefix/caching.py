"""Replace images by cached features in the arguments of `fit`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from kerastl.blocks.running import layers_before
from kerastl.internals.keras_adapters import train_validation_split
from kerastl.prefix.adapters import ArrayBatches, LoaderBatches
from kerastl.prefix.boundary import Boundary, boundary_of
from kerastl.prefix.decision import CacheDecision, CacheWishes, Room, decide, views_of
from kerastl.prefix.features import BoundaryFeatures, LabelRows
from kerastl.prefix.functions import variables_before, weights_digest
from kerastl.prefix.own_steps import own_steps
from kerastl.prefix.running import RunningPrefix, WarnOfLateChanges, WatchPrefix
from kerastl.prefix.sources import ImageSource, LoaderSource, array_source, loader_source, single
from kerastl.prefix.store import FeatureStore


@dataclass(frozen=True)
class Kept:
    """What is kept of one data source in a running `fit`."""

    features: BoundaryFeatures
    labels: LabelRows


class PrefixCache:
    """What a model keeps between two calls of `fit`."""

    def __init__(self) -> None:
        self._key = ""
        self._rows: dict[str, tuple[FeatureStore, LabelRows, ImageSource]] = {}
        self._used: set[str] = set()

    @property
    def memory_bytes(self) -> int:
        """What the rows in memory take."""
        return self._bytes(on_disk=False)

    @property
    def disk_bytes(self) -> int:
        """What the rows on disk take."""
        return self._bytes(on_disk=True)

    def _bytes(self, *, on_disk: bool) -> int:
        stores = (store for store, _, _ in self._rows.values())
        return sum(store.num_bytes for store in stores if store.on_disk == on_disk)

    def clear(self) -> None:
        """Drop everything."""
        self._key = ""
        self._rows = {}

    def open(self, key: str) -> None:
        """Begin a `fit`; another key than the last one's drops everything.

        Rows of images that the user vouched for were good for the last `fit` only.

        Args:
            key: Boundary, weights before it, types and image size.
        """
        if key != self._key:
            self.clear()
            self._key = key
        self._rows = {name: rows for name, rows in self._rows.items() if rows[2].is_known_to_repeat}
        self._used = set()

    def features(
        self,
        source: ImageSource,
        fingerprint: str,
        prefix: RunningPrefix,
        decision: CacheDecision,
        *,
        views: int,
    ) -> Kept:
        """The rows of a source: those of an earlier `fit` on the same data, or new ones.

        Args:
            source: The images.
            fingerprint: The source's own.
            prefix: The prefix of this `fit`.
            decision: Where the rows go.
            views: Views of each image that are kept.

        Raises:
            OSError: If the disk has no room for them.
        """
        name = f"{fingerprint} x {views} {decision.place}"
        if name not in self._rows:
            count = source.num_images * views
            store = FeatureStore(prefix.boundary, count, on_disk=decision.place == "disk")
            # With the source, so that no other data set can get its identity.
            self._rows[name] = (store, LabelRows(count), source)
        self._used.add(name)
        store, labels, _ = self._rows[name]
        features = BoundaryFeatures(prefix, store, num_images=source.num_images, views=views)
        return Kept(features, labels)

    def close(self, prefix: RunningPrefix | None) -> None:
        """End a `fit`: rows that were computed with other weights than at its start go."""
        if prefix is not None and prefix.changes:
            self.clear()

    def drop_unused(self) -> None:
        """Drop the rows of data that this `fit` does not use."""
        self._rows = {name: rows for name, rows in self._rows.items() if name in self._used}


@dataclass(frozen=True)
class CachedFit:
    """A call of `keras.Model.fit` with the prefix taken out, where that is possible.

    Attributes:
        x: Its first argument.
        y: Its second argument.
        options: The others.
        prefix: The frozen prefix, or None where the first block trains.
        report: What is kept or why not, one line.
        before: Callbacks that come before the user's.
        after: Callbacks that come after the user's.
    """

    x: Any
    y: Any
    options: dict[str, Any]
    prefix: RunningPrefix | None
    report: str
    before: tuple[keras.callbacks.Callback, ...] = ()
    after: tuple[keras.callbacks.Callback, ...] = ()

    def take_again(self, taken: Mapping[int, int | None], set_epoch: Callable[[int], None]) -> None:
        """Keep what was kept in some epochs, as `LoaderBatches.take_again` does."""
        if isinstance(self.x, LoaderBatches):
            self.x.take_again(taken, set_epoch)


@dataclass
class _Part:
    """What is done with the training or the validation images."""

    source: ImageSource | None
    wishes: CacheWishes
    decision: CacheDecision


def planned_report(model: Any, x: Any, validation: Any, wishes: CacheWishes, *, epochs: int) -> str:
    """What `fit` would keep, in one line, without doing it."""
    room = wishes.limits.room()
    return _report(_parts(model, x, validation, wishes, room, epochs=epochs))


def cached_fit(
    model: Any, x: Any, y: Any, options: Mapping[str, Any], wishes: CacheWishes, cache: PrefixCache
) -> CachedFit:
    """Take the frozen prefix out of a call of `fit`.

    Args:
        model: The classifier.
        x: First argument of `fit`.
        y: Second argument of `fit`.
        options: The others.
        wishes: What the user asked for.
        cache: What the model keeps; brought up to date.
    """
    options = dict(options)
    boundary, own = boundary_of(model), own_steps(model)
    room = wishes.limits.room(held=Room(cache.memory_bytes, cache.disk_bytes))
    epochs = options["epochs"] - options["initial_epoch"]
    parts = _parts(model, x, options["validation_data"], wishes, room, epochs=epochs)
    if wishes.explicit and parts[0].decision.place is None:
        reason = parts[0].decision.reason
        warnings.warn(f"The cache that was asked for is {reason}.", stacklevel=4)
    if boundary is None:
        cache.clear()
    is_kept = boundary is not None and any(part.decision.place for part in parts)
    is_apart = is_kept or (keras.backend.backend() == "torch" and not own)
    if boundary is None or not is_apart:
        return CachedFit(x, y, options, None, _report(parts))
    prefix = RunningPrefix(model, boundary)
    if is_kept:
        cache.open(cache_key(model, boundary))
        x, y, options = _on_features(x, y, options, parts, prefix, cache)
        cache.drop_unused()
    before: tuple[keras.callbacks.Callback, ...] = ()
    if keras.backend.backend() == "tensorflow":
        before = (WarnOfLateChanges(variables_before(model, boundary)),)
    return CachedFit(x, y, options, prefix, _report(parts), before, (WatchPrefix(prefix),))


def _parts(
    model: Any,
    x: Any,
    validation: Any,
    wishes: CacheWishes,
    room: Room,
    *,
    epochs: int,
) -> list[_Part]:
    """What is done with the training images, and with the validation images where there are any."""
    boundary, own = boundary_of(model), own_steps(model)
    data = [(source_of(x), wishes)]
    if validation is not None:
        data.append((_validation_source(validation), _held_out(wishes)))
    return [
        _Part(source, wanted, decide(boundary, source, wanted, room, epochs=epochs, own_steps=own))
        for source, wanted in data
    ]


def _on_features(
    x: Any,
    y: Any,
    options: dict[str, Any],
    parts: Sequence[_Part],
    prefix: RunningPrefix,
    cache: PrefixCache,
) -> tuple[Any, Any, dict[str, Any]]:
    """The arguments of `fit` with batches of features wherever that was decided."""
    for part, is_training in zip(parts, (True, False), strict=False):
        source, decision = part.source, part.decision
        if source is None or decision.place is None:
            continue
        views = views_of(source, part.wishes)
        try:
            kept = cache.features(source, source.fingerprint(), prefix, decision, views=views)
        except OSError as error:
            part.decision = _without_file(error, part.wishes)
            continue
        if is_training:
            x, options = _train_batches(source, x, y, options, kept)
            y = None
        else:
            options = _validation_batches(source, options, kept)
    return x, y, options


def _held_out(wishes: CacheWishes) -> CacheWishes:
    """The same wishes for validation images, of which one view is kept."""
    if wishes.views == 1:
        return wishes
    return replace(wishes, views=1, vouches=True)


def cache_key(model: Any, boundary: Boundary) -> str:
    """What rows are good for: boundary, weights before it, types and image size."""
    types = [str(layer.compute_dtype) for layer in layers_before(model, boundary.layer)]
    digest = weights_digest(variables_before(model, boundary))
    return f"{boundary} {model.image_size} {types} {digest}"


def _without_file(error: OSError, wishes: CacheWishes) -> CacheDecision:
    """Going on without a cache whose file cannot be had, unless it was asked for.

    Raises:
        OSError: If it was.
    """
    reason = f"the cache of the frozen blocks could not get its file: {error.strerror}"
    if not wishes.explicit:
        return CacheDecision(None, f"not used: {reason}")
    raise OSError(
        error.errno,
        f"{reason[:1].upper()}{reason[1:]}. Free some space, set TMPDIR to another disk, or say "
        "cache=False",
    ) from error


def source_of(x: Any) -> ImageSource | None:
    """Which images an argument of `fit` holds, where they can be told apart."""
    x = single(x)
    return array_source(x) or loader_source(x)


def _validation_source(data: Any) -> ImageSource | None:
    return source_of(data[0] if isinstance(data, tuple | list) and len(data) > 1 else data)


def _train_batches(
    source: ImageSource, x: Any, y: Any, options: dict[str, Any], kept: Kept
) -> tuple[Any, dict[str, Any]]:
    if isinstance(source, LoaderSource):
        return LoaderBatches(source, kept.features, kept.labels), options
    numbers: Any = np.arange(source.num_images)
    weights = options.pop("sample_weight", None)
    split = options.pop("validation_split", 0.0)
    batch_size = options.get("batch_size")
    if split and options.get("validation_data") is None:
        parts, others = train_validation_split((numbers, y, weights), validation_split=split)
        numbers, y, weights = parts
        options["validation_data"] = ArrayBatches(
            source,
            others[0],
            kept.features,
            others[1],
            sample_weight=others[2],
            batch_size=options.get("validation_batch_size") or batch_size,
            steps_per_epoch=options.get("validation_steps"),
        )
    batches = ArrayBatches(
        source,
        numbers,
        kept.features,
        y,
        sample_weight=weights,
        class_weight=options.pop("class_weight", None),
        batch_size=batch_size,
        shuffle=options.get("shuffle", True),
        steps_per_epoch=options.get("steps_per_epoch"),
    )
    return batches, options


def _validation_batches(source: ImageSource, options: dict[str, Any], kept: Kept) -> dict[str, Any]:
    if isinstance(source, LoaderSource):
        batches: Any = LoaderBatches(source, kept.features, kept.labels)
    else:
        _, y, *weights = options["validation_data"]
        batches = ArrayBatches(
            source,
            np.arange(source.num_images),
            kept.features,
            y,
            sample_weight=weights[0] if weights else None,
            batch_size=options.get("validation_batch_size") or options.get("batch_size"),
            steps_per_epoch=options.get("validation_steps"),
        )
    return {**options, "validation_data": batches}


def _report(parts: Sequence[_Part]) -> str:
    """The decisions on training and validation images as one line."""
    train, *others = (part.decision.reason for part in parts)
    if not others or others[0] == train:
        return train
    return f"{train}; validation {others[0]}"
