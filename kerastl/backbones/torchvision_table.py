"""Where the blocks of every torchvision classification model begin, as data.

Block name -> path of the block's first module, per family. Names follow
torchvision's own where it has names (`layer1`, `denseblock1`), else the stages
of the paper. Nothing is imported, so that listing the models costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True)
class Family:
    """What the models of one architecture share.

    Attributes:
        starts: Block name -> path of its first module, in forward order.
        classifier: Path of the last classifying layer.
        inner_layout: Order of the axes between blocks.
        ignored: Prefixes of weights that a checkpoint may hold and that are
            dropped: the auxiliary classifiers.
        arguments: Constructor arguments that every model of the family gets.
        size_argument: Constructor argument that takes the image size, and
            whether it takes it as one number or as a pair.
        rescales_input: Whether torchvision's pretrained model rescales its
            input from ImageNet's mean and deviation to 0.5 and 0.5.
    """

    starts: Mapping[str, str]
    classifier: str
    inner_layout: Literal["NCHW", "NHWC"] = "NCHW"
    ignored: tuple[str, ...] = ()
    arguments: Mapping[str, bool] = field(default_factory=lambda: MappingProxyType({}))
    size_argument: tuple[str, Literal["number", "pair"]] | None = None
    rescales_input: bool = False


def _numbered(prefix: str, count: int, name: str, path: str, *, first: int = 1) -> dict[str, str]:
    """`stem` at `prefix`, then `count` blocks `name`, numbered from 1.

    `path` holds a `{}` for the number of the first module, counted from `first`.
    """
    blocks = {f"{name}{i + 1}": path.format(i + first) for i in range(count)}
    return {"stem": prefix, **blocks}


def _at(stem: int, *stages: int, top: int | None = None) -> dict[str, str]:
    """Blocks that begin at these indices of `features`."""
    starts = {"stem": f"features.{stem}"}
    starts |= {f"stage{i}": f"features.{index}" for i, index in enumerate(stages, 1)}
    return starts if top is None else {**starts, "top": f"features.{top}"}


def _stages(*indices: int) -> dict[str, str]:
    """VGG and AlexNet: stages of `features`, then the hidden dense layers."""
    starts = {f"stage{i}": f"features.{index}" for i, index in enumerate(indices, 1)}
    return {**starts, "hidden": "classifier.0"}


def _vision_transformer(num_layers: int) -> Family:
    layers = {f"encoder_layer_{i}": f"encoder.layers.encoder_layer_{i}" for i in range(num_layers)}
    return Family(
        {"patch_embedding": "conv_proj", **layers, "norm": "encoder.ln"},
        "heads.head",
        size_argument=("image_size", "number"),
    )


_INCEPTION_MODULES = ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")
_GOOGLENET_MODULES = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
_RESNET = Family(_numbered("conv1", 4, "layer", "layer{}"), "fc")
_DENSENET = Family(
    _numbered("features.conv0", 4, "denseblock", "features.denseblock{}"), "classifier"
)
_EFFICIENTNET = Family(_at(0, 1, 2, 3, 4, 5, 6, 7, top=8), "classifier.1")
_MNASNET = Family(
    {**_numbered("layers.0", 6, "stage", "layers.{}", first=8), "top": "layers.14"},
    "classifier.1",
)
_SHUFFLENET = Family(
    {"stem": "conv1", "stage2": "stage2", "stage3": "stage3", "stage4": "stage4", "conv5": "conv5"},
    "fc",
)
_REGNET = Family(_numbered("stem", 4, "stage", "trunk_output.block{}"), "fc")
_CONVNEXT = Family({**_at(0, 1, 2, 4, 6), "norm": "classifier.0"}, "classifier.2")
_SWIN = Family({**_at(0, 1, 2, 4, 6), "norm": "norm"}, "head", inner_layout="NHWC")

FAMILIES: dict[str, Family] = {
    "alexnet": Family(_stages(0, 3, 6), "classifier.6"),
    **dict.fromkeys(
        ("convnext_base", "convnext_large", "convnext_small", "convnext_tiny"), _CONVNEXT
    ),
    **dict.fromkeys(("densenet121", "densenet161", "densenet169", "densenet201"), _DENSENET),
    **{f"efficientnet_b{i}": _EFFICIENTNET for i in range(8)},
    "efficientnet_v2_l": _EFFICIENTNET,
    "efficientnet_v2_m": _EFFICIENTNET,
    "efficientnet_v2_s": Family(_at(0, 1, 2, 3, 4, 5, 6, top=7), "classifier.1"),
    "googlenet": Family(
        {"stem": "conv1", **{f"inception{m}": f"inception{m}" for m in _GOOGLENET_MODULES}},
        "fc",
        ignored=("aux1.", "aux2."),
        arguments=MappingProxyType({"aux_logits": False, "init_weights": True}),
        rescales_input=True,
    ),
    "inception_v3": Family(
        {"stem": "Conv2d_1a_3x3", **{f"Mixed_{m}": f"Mixed_{m}" for m in _INCEPTION_MODULES}},
        "fc",
        ignored=("AuxLogits.",),
        arguments=MappingProxyType({"aux_logits": False, "init_weights": True}),
        rescales_input=True,
    ),
    "maxvit_t": Family(
        {**_numbered("stem", 4, "stage", "blocks.{}", first=0), "hidden": "classifier.0"},
        "classifier.5",
        size_argument=("input_size", "pair"),
    ),
    **dict.fromkeys(("mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3"), _MNASNET),
    "mobilenet_v2": Family(_at(0, 1, 2, 4, 7, 11, 14, 17, top=18), "classifier.1"),
    "mobilenet_v3_large": Family(
        {**_at(0, 1, 2, 4, 7, 11, 13, top=16), "hidden": "classifier.0"}, "classifier.3"
    ),
    "mobilenet_v3_small": Family(
        {**_at(0, 1, 2, 4, 7, 9, top=12), "hidden": "classifier.0"}, "classifier.3"
    ),
    **{
        f"regnet_{kind}_{size}": _REGNET
        for kind, sizes in (
            ("x", ("16gf", "1_6gf", "32gf", "3_2gf", "400mf", "800mf", "8gf")),
            ("y", ("128gf", "16gf", "1_6gf", "32gf", "3_2gf", "400mf", "800mf", "8gf")),
        )
        for size in sizes
    },
    **dict.fromkeys(
        (
            "resnet18",
            "resnet34",
            "resnet50",
            "resnet101",
            "resnet152",
            "resnext50_32x4d",
            "resnext101_32x8d",
            "resnext101_64x4d",
            "wide_resnet50_2",
            "wide_resnet101_2",
        ),
        _RESNET,
    ),
    **{f"shufflenet_v2_x{width}": _SHUFFLENET for width in ("0_5", "1_0", "1_5", "2_0")},
    "squeezenet1_0": Family(_at(0, 3, 7, 12), "classifier.1"),
    "squeezenet1_1": Family(_at(0, 3, 6, 9), "classifier.1"),
    **{f"swin_{size}": _SWIN for size in ("b", "s", "t", "v2_b", "v2_s", "v2_t")},
    "vgg11": Family(_stages(0, 3, 6, 11, 16), "classifier.6"),
    "vgg11_bn": Family(_stages(0, 4, 8, 15, 22), "classifier.6"),
    "vgg13": Family(_stages(0, 5, 10, 15, 20), "classifier.6"),
    "vgg13_bn": Family(_stages(0, 7, 14, 21, 28), "classifier.6"),
    "vgg16": Family(_stages(0, 5, 10, 17, 24), "classifier.6"),
    "vgg16_bn": Family(_stages(0, 7, 14, 24, 34), "classifier.6"),
    "vgg19": Family(_stages(0, 5, 10, 19, 28), "classifier.6"),
    "vgg19_bn": Family(_stages(0, 7, 14, 27, 40), "classifier.6"),
    "vit_b_16": _vision_transformer(12),
    "vit_b_32": _vision_transformer(12),
    "vit_h_14": _vision_transformer(32),
    "vit_l_16": _vision_transformer(24),
    "vit_l_32": _vision_transformer(24),
}
