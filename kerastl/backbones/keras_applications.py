"""The models of Keras Applications as backbones.

Keras builds the network; its graph is cut into one `keras.Model` per block,
which share the layers. Keras is imported when a backbone is built.
"""

from __future__ import annotations

import inspect
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlencode

from kerastl.backbones.base import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Backbone,
    BackboneInfo,
    Preprocessing,
    Resizing,
)
from kerastl.backbones.keras_cut import cut
from kerastl.backbones.keras_table import MODELS, Family
from kerastl.backbones.keras_weights import first_sentence, load_file
from kerastl.backbones.weights_check import looks_like_file
from kerastl.errors import WeightsError

SOURCE = "keras"
_FIXED_ARGUMENTS = (
    "include_top",
    "weights",
    "input_tensor",
    "input_shape",
    "pooling",
    "classes",
    "classifier_activation",
    "name",
)
# Keras publishes no crop; this is the one that ImageNet is usually evaluated with.
_CROP_FRACTION = 0.875


def list_names() -> tuple[str, ...]:
    """Every model, by Keras's name."""
    return tuple(MODELS)


def describe(name: str) -> BackboneInfo:
    """What Keras publishes of a model with its default arguments."""
    model = MODELS[name]
    return BackboneInfo(
        spec=f"{SOURCE}:{name}",
        num_parameters=model.num_parameters,
        image_size=model.image_size,
        top1=model.top1,
        weights_on_disk=(_cache_folder() / model.weights_file).is_file(),
    )


def build(
    name: str, *, weights: str | None, image_size: int | None, arguments: Mapping[str, str]
) -> Backbone:
    """Build a model of Keras Applications without its classifier and pooling.

    Args:
        name: A name of `list_names()`.
        weights: "default" or "imagenet", a local Keras weights file (the older
            `.h5`, or `.weights.h5`), or None for random weights.
        image_size: Height and width, pixels. None: that of the weights.
        arguments: Arguments of Keras's own function, as text.

    Returns:
        The backbone. Its layers do not depend on `weights`.

    Raises:
        WeightsError: If the weights cannot be had or do not fit.
        ValueError: If Keras refuses the image size, an argument, or the model
            on this backend.
    """
    model = MODELS[name]
    spec = f"{SOURCE}:{name}" + (f"?{urlencode(arguments)}" if arguments else "")
    size = image_size or model.image_size
    published = weights is not None and weights.lower() in ("default", "imagenet")
    if weights is not None and not published and not looks_like_file(weights):
        raise WeightsError(
            f"`weights` of {spec} must be default, imagenet, none or a local .h5 file. "
            f"Received: {weights}. {SOURCE}: models have one set of published weights."
        )
    construct = _constructor(name, spec, size, arguments)
    network = construct("imagenet" if published and not model.family.published_rescaling else None)
    if weights is not None and not published:
        load_file(network, weights, spec)
    elif published and model.family.published_rescaling:
        network.set_weights(construct("imagenet").get_weights())
    if weights is not None and model.family.published_rescaling:
        _take_in_rescaling(network)
    return Backbone(
        spec=spec,
        parts=cut(network, model.family, spec),
        preprocessing=_preprocessing(model.family, arguments),
        resizing=Resizing(round(model.image_size / _CROP_FRACTION), model.image_size),
        image_size=size,
    )


def _preprocessing(family: Family, arguments: Mapping[str, str]) -> Preprocessing:
    if family.bare_preprocessing and arguments.get("include_preprocessing", "").lower() == "false":
        return family.bare_preprocessing
    return family.preprocessing


def _constructor(
    name: str, spec: str, size: int, arguments: Mapping[str, str]
) -> Callable[[str | None], Any]:
    """Keras's function for the model, with everything but the weights filled in."""
    import keras

    if keras.config.image_data_format() != "channels_last":
        raise ValueError(
            f"`image_data_format` of Keras must be channels_last for {SOURCE}: backbones. "
            f"Received: {keras.config.image_data_format()}. "
            "Call keras.config.set_image_data_format('channels_last')."
        )
    function = getattr(keras.applications, name)
    converted = _convert(spec, arguments, function)

    def construct(weights: str | None) -> Any:
        with warnings.catch_warnings():
            # MobileNets at a size without weights of its own: Keras takes those of 224.
            warnings.filterwarnings("ignore", message="`input_shape` is undefined or non-square")
            with _explained(name, spec, size, arguments):
                return function(
                    include_top=False, weights=weights, input_shape=(size, size, 3), **converted
                )

    return construct


def _convert(
    spec: str, arguments: Mapping[str, str], function: Callable[..., Any]
) -> dict[str, Any]:
    """Arguments from text, by the type of their defaults."""
    valid = {
        key: parameter.default
        for key, parameter in inspect.signature(function).parameters.items()
        if key not in _FIXED_ARGUMENTS
    }
    unknown = [key for key in arguments if key not in valid]
    if unknown:
        raise ValueError(
            f"Arguments of {spec} must be among: {', '.join(valid) or 'none'}. "
            f"Received: {', '.join(unknown)}. Write them as {SOURCE}:NAME?argument=value."
        )
    converted: dict[str, Any] = {}
    for key, text in arguments.items():
        kind = type(valid[key])
        try:
            if kind is bool:
                converted[key] = {"true": True, "false": False}[text.lower()]
            else:
                converted[key] = kind(text)
        except (KeyError, ValueError):
            wanted = "true or false" if kind is bool else f"a number ({kind.__name__})"
            raise ValueError(
                f"`{key}` must be {wanted}. Received: {key}={text}. "
                f"Keras's default is {valid[key]}."
            ) from None
    return converted


@contextmanager
def _explained(name: str, spec: str, size: int, arguments: Mapping[str, str]) -> Iterator[None]:
    """Turns what Keras raises into one clear line."""
    try:
        yield
    except Exception as error:
        # Keras raises a failed download as a bare Exception, a broken one as a ValueError.
        if isinstance(error, OSError) or re.search("URL fetch failure|corrupted file", str(error)):
            _raise_download_failed(name, arguments, error)
        if isinstance(error, ValueError):
            _raise_refused(name, spec, size, error)
        raise


def _raise_refused(name: str, spec: str, size: int, error: Exception) -> NoReturn:
    import keras

    reason = first_sentence(error)
    model = MODELS[name]
    if keras.backend.backend() not in model.backends:
        raise ValueError(
            f"`backbone` must be one that Keras offers on the {keras.backend.backend()} backend. "
            f"Received: {spec}. Keras says: {reason}. "
            f"Choose the backend {' or '.join(model.backends)}."
        ) from error
    raise ValueError(
        f"`image_size` and arguments must suit {spec}. Received: image_size={size}. "
        f"Keras says: {reason}. The published image size is {model.image_size}."
    ) from error


def _raise_download_failed(name: str, arguments: Mapping[str, str], error: Exception) -> NoReturn:
    model = MODELS[name]
    found = re.search(r"https?://\S+", str(error))
    address = found.group(0).rstrip(":") if found else model.family.address + model.weights_file
    # With arguments, the file is another one; its cached name is that of the address.
    file = Path(address).name if arguments else model.weights_file
    reason = first_sentence(error).split(" -- ")[-1]
    raise WeightsError(
        f"Cannot download the weights {file} from {address}: {reason}. "
        f"Put the file at {_cache_folder() / file} by hand, or pass --weights PATH."
    ) from error


def _cache_folder() -> Path:
    """Where Keras keeps published weights, found without importing Keras."""
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    if home.exists() and not os.access(home, os.W_OK):
        home = Path("/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir()) / ".keras"
    return home / "models"


def _take_in_rescaling(network: Any) -> None:
    """Let EfficientNet's normalization divide by the standard deviation.

    Its published weights want a division by the square root of the deviation
    on top of the normalization. Keras adds a layer for that, but only for
    `weights="imagenet"`; multiplied into the stored variance, the same numbers
    come from the layers that every other choice of weights has.
    """
    import keras
    import numpy as np

    for layer in network.layers:
        if not isinstance(layer, keras.layers.Normalization):
            continue
        mean, variance, count = layer.get_weights()
        if np.allclose(mean, IMAGENET_MEAN, atol=1e-3):
            layer.set_weights([mean, variance * np.asarray(IMAGENET_STD), count])
        layer.finalize_state()
