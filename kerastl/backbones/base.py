"""The dataclasses that every source of backbones returns: parts, preprocessing, image size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Layout = Literal["NCHW", "NHWC"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """How raw pixels 0-255 become what the network was trained on.

    `(pixels * scale - mean) / std`, per channel, after the channels are put
    in `channel_order`.

    Attributes:
        scale: Factor on the pixels, 1/255 for networks trained on 0-1.
        mean: One value per channel, in the scaled units and in `channel_order`.
        std: One value per channel, likewise.
        channel_order: "rgb", or "bgr" for weights ported from Caffe.
    """

    scale: float = 1 / 255
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    channel_order: Literal["rgb", "bgr"] = "rgb"


@dataclass(frozen=True)
class Resizing:
    """How the weights' own evaluation brings an image to size.

    Attributes:
        resize_size: Pixels of the shorter side before the centre crop, for
            an image of the weights' own `crop_size`.
        crop_size: Pixels of the square that is cut out.
        interpolation: "nearest", "bilinear" or "bicubic".
    """

    resize_size: int
    crop_size: int
    interpolation: Literal["nearest", "bilinear", "bicubic"] = "bilinear"


@dataclass(frozen=True)
class BackboneInfo:
    """One row of `kerastl backbones`: what is known before anything is built.

    Attributes:
        spec: The backbone spec, `source:name`.
        num_parameters: Parameters of the published model, its classification
            layer included, or None where nobody published it.
        image_size: Height and width of the published evaluation, pixels.
        top1: Published ImageNet-1K top-1 accuracy, per cent, or None.
        weights_on_disk: Whether the default weights are on this machine.
    """

    spec: str
    num_parameters: int | None
    image_size: int | None
    top1: float | None
    weights_on_disk: bool


@dataclass(frozen=True)
class BackbonePart:
    """The network of one block, before it becomes a Keras layer.

    Attributes:
        name: Name of the block.
        network: A `torch.nn.Module`, or a `keras.Model` cut from a larger one.
        input_layout: Order of the axes that a torch network takes for a
            4-D tensor. Keras networks always take "NHWC".
        output_layout: The same for what it gives.
    """

    name: str
    network: Any
    input_layout: Layout = "NCHW"
    output_layout: Layout = "NCHW"


@dataclass(frozen=True)
class Backbone:
    """A built backbone: the network before the last classifying layer, in parts.

    Attributes:
        spec: The spec that built it.
        parts: The blocks' networks, input side first.
        preprocessing: From raw pixels to the first part's input.
        resizing: The weights' own evaluation resize.
        image_size: Height and width of the input, pixels.
        can_reload: Whether the spec alone rebuilds the architecture.
        frozen: Names of the parts whose parameters were all frozen where they come from.
    """

    spec: str
    parts: Sequence[BackbonePart]
    preprocessing: Preprocessing
    resizing: Resizing
    image_size: int
    can_reload: bool = True
    frozen: Sequence[str] = ()


def preprocessing_from(config: dict[str, Any]) -> Preprocessing:
    """The dataclass from its JSON form, whose tuples have become lists."""
    channels = {key: tuple(config[key]) for key in ("mean", "std")}
    return Preprocessing(**{**config, **channels})


def resizing_from(config: dict[str, Any]) -> Resizing:
    """The dataclass from its JSON form."""
    return Resizing(**config)
