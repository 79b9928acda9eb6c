"""Random augmentation by torchvision's v2 transforms, reproducible from the seed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerastl.errors import unknown_name

FLIPS = ("horizontal", "both", "none")


@dataclass(frozen=True)
class _Preset:
    """How strongly images are changed.

    Attributes:
        smallest_crop: Least share of the image's area that a crop keeps.
        degrees: Largest rotation either way.
        jitter: Largest change of brightness, contrast and saturation, as a share.
        rand_augment: Whether RandAugment (Cubuk et al., 2020) takes part.
        erasing: Share of the images of which a rectangle is erased (Zhong et al., 2020).
    """

    smallest_crop: float
    degrees: float = 0.0
    jitter: float = 0.0
    rand_augment: bool = False
    erasing: float = 0.0


_PRESETS: dict[str, _Preset | None] = {
    "none": None,
    "light": _Preset(smallest_crop=0.8),
    "standard": _Preset(smallest_crop=0.5, degrees=10.0, jitter=0.2),
    "strong": _Preset(smallest_crop=0.35, rand_augment=True, erasing=0.25),
}
PRESETS: tuple[str, ...] = tuple(_PRESETS)


@dataclass(frozen=True)
class Augmentation:
    """What is changed at random in training images.

    Attributes:
        preset: One of `PRESETS`: crop and flip; rotation and colour besides; or
            RandAugment and erasing besides.
        flip: One of `FLIPS`; no preset but "none" goes without one by itself.
        mixup: Strength alpha of mixup (Zhang et al., 2018), or None.
        cutmix: Strength alpha of CutMix (Yun et al., 2019), or None. With both,
            each batch gets one of the two.

    Raises:
        UnknownNameError: If there is no such preset or flip.
        ValueError: If a strength is not positive.
    """

    preset: str = "none"
    flip: str = "horizontal"
    mixup: float | None = None
    cutmix: float | None = None

    def __post_init__(self) -> None:
        for name, value, known in (("augment", self.preset, PRESETS), ("flip", self.flip, FLIPS)):
            if value not in known:
                raise unknown_name(name, value, known, how_to_list=f"Choices: {', '.join(known)}.")
        for name, strength in (("mixup", self.mixup), ("cutmix", self.cutmix)):
            if strength is not None and not strength > 0:
                raise ValueError(f"`{name}` must be above 0. Received: {name}={strength}.")

    @property
    def changes_images(self) -> bool:
        """Whether single images are changed."""
        return self.preset != "none"

    @property
    def mixes(self) -> bool:
        """Whether images of a batch are mixed, and their labels with them."""
        return self.mixup is not None or self.cutmix is not None


class ChangeImage:
    """One image changed at random, the same for the same seed, epoch and number.

    Args:
        augmentation: What is changed; its preset is not "none".
        image_size: Height and width, pixels.
        background: Red, green and blue, 0-255, of the corners that a rotation bares.
        seed: Number that fixes the changes.
    """

    def __init__(
        self,
        augmentation: Augmentation,
        *,
        image_size: int,
        background: Sequence[int],
        seed: int,
    ) -> None:
        self._about = f"{augmentation} {image_size} {tuple(background)} {seed}"
        self._seed = seed
        self._transform = _transform(augmentation, image_size, [float(c) for c in background])

    def __call__(self, pixels: np.ndarray, *, epoch: int, number: int) -> np.ndarray:
        """Pixels 0-255, uint8, `(height, width, 3)`, before and after."""
        import torch

        tensor = torch.from_numpy(pixels).permute(2, 0, 1)
        changed = _seeded((self._seed, epoch, number), self._transform, tensor)
        return np.ascontiguousarray(changed.permute(1, 2, 0).numpy())

    def __repr__(self) -> str:
        return self._about


class MixBatch:
    """Batches whose images, and labels with them, are mixed in pairs.

    Args:
        collate: Makes the batch `(images, labels)`.
        augmentation: What mixes them.
        num_classes: Number of classes.
        seed: Number that fixes the mixing.
        epoch: A tensor that holds the epoch's number.
    """

    def __init__(
        self,
        collate: Callable[[Sequence[Any]], Any],
        augmentation: Augmentation,
        *,
        num_classes: int,
        seed: int,
        epoch: Any,
    ) -> None:
        from torchvision.transforms import v2

        self._collate = collate
        self._about = f"{augmentation} {num_classes} {seed}"
        self._seed = seed
        self._epoch = epoch
        kinds: list[Any] = []
        if augmentation.mixup is not None:
            kinds.append(v2.MixUp(alpha=augmentation.mixup, num_classes=num_classes))
        if augmentation.cutmix is not None:
            kinds.append(v2.CutMix(alpha=augmentation.cutmix, num_classes=num_classes))
        self._transform = kinds[0] if len(kinds) == 1 else v2.RandomChoice(kinds)

    def __call__(self, samples: Sequence[Any]) -> Any:
        """Images, float32 0-255, `(batch, height, width, 3)`, and labels `(batch, classes)`."""
        images, labels = self._collate(samples)
        # What is mixed must not depend on which process makes the batch.
        digest = hashlib.blake2b(images.numpy().tobytes(), digest_size=8).digest()
        key = (self._seed, int(self._epoch), int.from_bytes(digest, "little"))
        channels_first = images.permute(0, 3, 1, 2).float()
        mixed, shares = _seeded(key, self._transform, channels_first, labels)
        return mixed.permute(0, 2, 3, 1).contiguous(), shares.float()

    def __repr__(self) -> str:
        return f"{self._collate!r} {self._about}"


def _seeded(key: Sequence[int], function: Callable[..., Any], *arguments: Any) -> Any:
    """Call with torch's random numbers fixed, and leave its generator as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which wakes CUDA in every worker process.
        torch.default_generator.manual_seed(int(np.random.PCG64(list(key)).random_raw()) >> 1)
        return function(*arguments)


def _transform(augmentation: Augmentation, image_size: int, background: list[float]) -> Any:
    from torchvision.transforms import v2

    preset = _PRESETS[augmentation.preset]
    steps: list[Any] = []
    if preset is None:
        return v2.Identity()
    if preset.degrees:
        steps.append(
            v2.RandomRotation(
                preset.degrees, interpolation=v2.InterpolationMode.BILINEAR, fill=background
            )
        )
    scale = (preset.smallest_crop, 1.0)
    steps.append(v2.RandomResizedCrop(image_size, scale=scale, antialias=True))
    if augmentation.flip != "none":
        steps.append(v2.RandomHorizontalFlip())
    if augmentation.flip == "both":
        steps.append(v2.RandomVerticalFlip())
    if preset.rand_augment:
        steps.append(v2.RandAugment(fill=background))
    if preset.jitter:
        steps.append(v2.ColorJitter(preset.jitter, preset.jitter, preset.jitter))
    if preset.erasing:
        steps.append(v2.RandomErasing(p=preset.erasing))
    return v2.Compose(steps)
