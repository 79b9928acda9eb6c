"""Every model of Keras Applications, where its blocks lie, and the cut along them.

The table is data and imports nothing, so that listing the models costs nothing.
Patterns name layers that Keras names itself: automatic names such as `conv2d_7`
count on from whatever the process built before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from kerastl.backbones.base import Preprocessing

_HOST = "https://storage.googleapis.com/"
_NO_TOP = "_weights_tf_dim_ordering_tf_kernels_notop.h5"

_MINUS_ONE_TO_ONE = Preprocessing(scale=1 / 127.5, mean=(1.0,) * 3, std=(1.0,) * 3)
_IMAGENET = Preprocessing()
_CAFFE = Preprocessing(
    scale=1.0, mean=(103.939, 116.779, 123.68), std=(1.0,) * 3, channel_order="bgr"
)
_IN_THE_NETWORK = Preprocessing(scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)

# The layers with weights that include_top=False leaves out, of all models.
CLASSIFIER_LAYERS = r"predictions|fc1|fc2|conv_preds|conv_2|logits|convnext_\w+_head_dense"


@dataclass(frozen=True)
class Family:
    """What the models of one architecture share.

    Attributes:
        blocks: Block name -> pattern that a layer's name must begin with.
        address: Folder of the published weights.
        preprocessing: From raw pixels to the network's input.
        bare_preprocessing: The same where the argument
            `include_preprocessing=false` takes it out of the network.
        rule: "starts": the block begins after the last tensor that everything
            on the way to its first matching layer passes through; the first
            block begins at the input and its pattern is empty. "ends": the
            block ends with its last matching layer; the last block ends at
            the output and its pattern is empty.
        tensors: How many tensors may go from one block to the next.
        published_rescaling: Whether Keras adds a layer for published weights.
    """

    blocks: Mapping[str, str]
    address: str
    preprocessing: Preprocessing = _MINUS_ONE_TO_ONE
    bare_preprocessing: Preprocessing | None = None
    rule: Literal["starts", "ends"] = "starts"
    tensors: int = 1
    published_rescaling: bool = False


@dataclass(frozen=True)
class Model:
    """One model, as published.

    Attributes:
        family: Its architecture.
        num_parameters: Variables of the whole model, classifier included.
        image_size: Height and width of the published evaluation, pixels.
        top1: ImageNet-1K top-1 accuracy in Keras's own table, per cent.
        weights_file: Published weights without the classifier, in Keras's cache.
        backends: Where Keras offers the model.
    """

    family: Family
    num_parameters: int
    image_size: int
    top1: float | None
    weights_file: str
    backends: tuple[str, ...] = ("torch", "jax", "tensorflow")


def _address(folder: str) -> str:
    return f"{_HOST}tensorflow/keras-applications/{folder}/"


def _stem_then(name: str, *patterns: str, top: str | None = None) -> dict[str, str]:
    """`stem`, then blocks `name`, numbered from 1, then perhaps `top`."""
    blocks = {"stem": ""} | {f"{name}{i}": pattern for i, pattern in enumerate(patterns, 1)}
    return blocks if top is None else {**blocks, "top": top}


def _numbered_stages(count: int) -> dict[str, str]:
    return _stem_then("stage", *(f"block{i}a_" for i in range(1, count + 1)), top="top_conv")


def _nasnet(repeats: int) -> Family:
    """Three stages of `repeats` normal cells; cells are numbered, reductions counted in."""
    return Family(
        {
            "stem": r"reduction_concat_stem_2$",
            "stage1": rf"normal_concat_{repeats - 1}$",
            "stage2": rf"normal_concat_{2 * repeats}$",
            "stage3": "",
        },
        _address("nasnet"),
        rule="ends",
        tensors=2,
    )


_RESNET_BLOCKS = {"stem": "", **{f"conv{i}": f"conv{i}_block1_" for i in range(2, 6)}}
_RESNET = Family(_RESNET_BLOCKS, _address("resnet"), _CAFFE)
_RESNET_V2 = Family(_RESNET_BLOCKS, _address("resnet"))
_VGG_BLOCKS = {"stage1": "", **{f"stage{i}": f"block{i}_conv1" for i in range(2, 6)}}
_DENSENET = Family(
    _stem_then("denseblock", *(f"conv{i}_block1_" for i in range(2, 6))),
    _address("densenet"),
    _IMAGENET,
)
_XCEPTION = Family(
    {"stem": "", "entry": "block2_sepconv1", "middle": "block5_", "exit": "block13_"},
    _address("xception"),
)
_INCEPTION_V3 = Family(
    {"stem": "", **{f"mixed{i}": rf"mixed{i}$" for i in range(11)}}, _address("inception_v3")
)
_INCEPTION_RESNET_V2 = Family(
    {
        "stem": "",
        "block35": "block35_1_mixed",
        "mixed_6a": "mixed_6a",
        "block17": "block17_1_mixed",
        "mixed_7a": "mixed_7a",
        "block8": "block8_1_mixed",
        "top": "conv_7b",
    },
    _address("inception_resnet_v2"),
)
_MOBILENET = Family(
    _stem_then("stage", "conv_dw_1", *(f"conv_pad_{i}" for i in (2, 4, 6, 12))),
    _address("mobilenet"),
)
_MOBILENET_V2 = Family(
    _stem_then(
        "stage", "expanded_conv_", *(f"block_{i}_" for i in (1, 3, 6, 10, 13, 16)), top="Conv_1"
    ),
    _address("mobilenet_v2"),
)


def _mobilenet_v3(*starts: int) -> Family:
    later = (f"expanded_conv_{i}_" for i in starts)
    return Family(
        _stem_then("stage", "expanded_conv_depthwise", *later, top=r"conv_1$"),
        _address("mobilenet_v3"),
        _IN_THE_NETWORK,
        bare_preprocessing=_MINUS_ONE_TO_ONE,
    )


def _efficientnet_v2(stages: int, bare: Preprocessing) -> Family:
    return Family(
        _numbered_stages(stages),
        _address("efficientnet_v2"),
        _IN_THE_NETWORK,
        bare_preprocessing=bare,
    )


_EFFICIENTNET = Family(
    _numbered_stages(7),
    f"{_HOST}keras-applications/",
    _IN_THE_NETWORK,
    published_rescaling=True,
)
_FROM_128 = Preprocessing(scale=1 / 128, mean=(1.0,) * 3, std=(1.0,) * 3)
_EFFICIENTNET_V2_B = _efficientnet_v2(6, _IMAGENET)
_EFFICIENTNET_V2_S = _efficientnet_v2(6, _FROM_128)
_EFFICIENTNET_V2_ML = _efficientnet_v2(7, _FROM_128)
_CONVNEXT = Family(
    _stem_then(
        "stage",
        r"convnext_\w+_stage_0_block_0_",
        *(rf"convnext_\w+_downsampling_block_{i}" for i in range(3)),
    ),
    _address("convnext"),
    _IN_THE_NETWORK,
    bare_preprocessing=_IMAGENET,
)
_MOBILENET_V3_FILE = "weights_mobilenet_v3_{}_224_1.0_float_no_top_v2.h5"

MODELS: dict[str, Model] = {
    "Xception": Model(_XCEPTION, 22_910_480, 299, 79.0, "xception" + _NO_TOP),
    "VGG16": Model(
        Family(_VGG_BLOCKS, _address("vgg16"), _CAFFE), 138_357_544, 224, 71.3, "vgg16" + _NO_TOP
    ),
    "VGG19": Model(
        Family(_VGG_BLOCKS, _address("vgg19"), _CAFFE), 143_667_240, 224, 71.3, "vgg19" + _NO_TOP
    ),
    "ResNet50": Model(_RESNET, 25_636_712, 224, 74.9, "resnet50" + _NO_TOP),
    "ResNet50V2": Model(_RESNET_V2, 25_613_800, 224, 76.0, "resnet50v2" + _NO_TOP),
    "ResNet101": Model(_RESNET, 44_707_176, 224, 76.4, "resnet101" + _NO_TOP),
    "ResNet101V2": Model(_RESNET_V2, 44_675_560, 224, 77.2, "resnet101v2" + _NO_TOP),
    "ResNet152": Model(_RESNET, 60_419_944, 224, 76.6, "resnet152" + _NO_TOP),
    "ResNet152V2": Model(_RESNET_V2, 60_380_648, 224, 78.0, "resnet152v2" + _NO_TOP),
    "InceptionV3": Model(_INCEPTION_V3, 23_851_784, 299, 77.9, "inception_v3" + _NO_TOP),
    "InceptionResNetV2": Model(
        _INCEPTION_RESNET_V2, 55_873_736, 299, 80.3, "inception_resnet_v2" + _NO_TOP
    ),
    "MobileNet": Model(_MOBILENET, 4_253_864, 224, 70.4, "mobilenet_1_0_224_tf_no_top.h5"),
    "MobileNetV2": Model(
        _MOBILENET_V2,
        3_538_984,
        224,
        71.3,
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
    ),
    "MobileNetV3Small": Model(
        _mobilenet_v3(1, 3, 6, 8), 2_554_968, 224, None, _MOBILENET_V3_FILE.format("small")
    ),
    "MobileNetV3Large": Model(
        _mobilenet_v3(1, 3, 6, 10, 12), 5_507_432, 224, None, _MOBILENET_V3_FILE.format("large")
    ),
    "DenseNet121": Model(_DENSENET, 8_062_504, 224, 75.0, "densenet121" + _NO_TOP),
    "DenseNet169": Model(_DENSENET, 14_307_880, 224, 76.2, "densenet169" + _NO_TOP),
    "DenseNet201": Model(_DENSENET, 20_242_984, 224, 77.3, "densenet201" + _NO_TOP),
    "NASNetMobile": Model(
        _nasnet(4), 5_326_716, 224, 74.4, "nasnet_mobile_no_top.h5", ("tensorflow", "jax")
    ),
    "NASNetLarge": Model(_nasnet(6), 88_949_818, 331, 82.5, "nasnet_large_no_top.h5"),
    **{
        f"EfficientNetB{i}": Model(_EFFICIENTNET, count, size, top1, f"efficientnetb{i}_notop.h5")
        for i, (count, size, top1) in enumerate(
            (
                (5_330_571, 224, 77.1),
                (7_856_239, 240, 79.1),
                (9_177_569, 260, 80.1),
                (12_320_535, 300, 81.6),
                (19_466_823, 380, 82.9),
                (30_562_527, 456, 83.6),
                (43_265_143, 528, 84.0),
                (66_658_687, 600, 84.3),
            )
        )
    },
    **{
        f"EfficientNetV2{kind}": Model(
            family, count, size, top1, f"efficientnetv2-{kind.lower()}_notop.h5"
        )
        for kind, family, count, size, top1 in (
            ("B0", _EFFICIENTNET_V2_B, 7_200_312, 224, 78.7),
            ("B1", _EFFICIENTNET_V2_B, 8_212_124, 240, 79.8),
            ("B2", _EFFICIENTNET_V2_B, 10_178_374, 260, 80.5),
            ("B3", _EFFICIENTNET_V2_B, 14_467_622, 300, 82.0),
            ("S", _EFFICIENTNET_V2_S, 21_612_360, 384, 83.9),
            ("M", _EFFICIENTNET_V2_ML, 54_431_388, 480, 85.3),
            ("L", _EFFICIENTNET_V2_ML, 119_027_848, 480, 85.7),
        )
    },
    **{
        f"ConvNeXt{kind}": Model(_CONVNEXT, count, 224, top1, f"convnext_{kind.lower()}_notop.h5")
        for kind, count, top1 in (
            ("Tiny", 28_589_128, 81.3),
            ("Small", 50_223_688, 82.3),
            ("Base", 88_591_464, 85.3),
            ("Large", 197_767_336, 86.3),
            ("XLarge", 350_196_968, 86.7),
        )
    },
}
