"""The sources of backbones, and specs: `source:name?argument=value`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl

from kerastl.backbones import foreign_code
from kerastl.backbones.base import Backbone, BackboneInfo
from kerastl.errors import unknown_name
from kerastl.internals.triton import keep_away_from_tensorflow
from kerastl.processes.group import use_own_device

SOURCES: dict[str, str] = {
    "bundled": "kerastl.backbones.bundled",
    "torchvision": "kerastl.backbones.torchvision_models",
    "keras": "kerastl.backbones.keras_applications",
    "module": "kerastl.backbones.torch_module",
}
# Arguments that make every layer wider.
_WIDTHS = ("alpha", "depth_multiplier")
_HOW_TO_LIST = "`kerastl backbones` lists all."


def list_backbones(source: str | None = None) -> tuple[str, ...]:
    """Every backbone spec that can be named, without importing torch or Keras.

    Args:
        source: "bundled", "torchvision" or "keras". None: all.

    Raises:
        UnknownNameError: If there is no such source.

    Example:

    >>> list_backbones("bundled")
    ('bundled:efficientnet_lite0', 'bundled:efficientnet_lite1', 'bundled:efficientnet_lite2')
    """
    sources = list(SOURCES) if source is None else [source]
    return tuple(f"{key}:{name}" for key in sources for name in _source(key).list_names())


def describe(spec: str) -> BackboneInfo:
    """What is published of a backbone, nothing built.

    Raises:
        UnknownNameError: If the spec names no backbone.
    """
    module, name, _ = _parse(spec)
    return module.describe(name)


def expected_parameters(spec: str, *, image_size: int) -> float | None:
    """About how many parameters a backbone has at least, nothing built; None where nobody knows.

    Its published classifying layer counts too.

    Args:
        spec: The spec, with its arguments.
        image_size: Height and width, pixels.

    Raises:
        UnknownNameError: If the spec names no backbone.
    """
    module, name, arguments = _parse(spec)
    count: float | None = module.describe(name).num_parameters
    if hasattr(module, "parameters_at"):
        count = module.parameters_at(name, image_size) or count
    if count is None:
        return None
    for argument in _WIDTHS:
        try:
            width = float(arguments.get(argument, 1))
        except ValueError:
            continue  # `build` says what it must be
        # Parameters grow with a width once or twice.
        count *= width if width > 1 else width**2
    return count


def build(spec: str, *, weights: str | None, image_size: int | None) -> Backbone:
    """Build the backbone that a spec names.

    Args:
        spec: `source:name`, with arguments as `keras:MobileNet?alpha=0.25`.
        weights: "default", the name of published weights, a local file, or
            None (or "none") for random weights.
        image_size: Height and width, pixels. None: the weights' own.

    Raises:
        UnknownNameError: If the spec or the weights' name is unknown.
        WeightsError: If the weights cannot be had or do not fit.
        ValueError: If an argument or the image size is refused, or a file names code.
    """
    foreign_code.check(spec)
    keep_away_from_tensorflow()
    module, name, arguments = _parse(spec)
    if weights is not None and weights.lower() == "none":
        weights = None
    if image_size is not None and (not isinstance(image_size, int) or image_size < 1):
        raise ValueError(
            f"`image_size` must be a whole number of pixels. Received: image_size={image_size}."
        )
    backbone: Backbone = module.build(
        name, weights=weights, image_size=image_size, arguments=arguments
    )
    return backbone


def build_any(
    backbone: Any,
    *,
    weights: str | None,
    image_size: int | None,
    blocks: Mapping[str, str | Sequence[str]] | None = None,
) -> Backbone:
    """Build from a spec or from an `nn.Module` instance; a built `Backbone` is taken as it is."""
    use_own_device()
    if isinstance(backbone, Backbone):
        return backbone
    if isinstance(backbone, str):
        if blocks is not None:
            raise ValueError(
                f"`blocks` is for an nn.Module. Received: blocks with backbone={backbone!r}, "
                "whose blocks are fixed. Leave it out."
            )
        return build(backbone, weights=weights, image_size=image_size)
    from kerastl.backbones.torch_module import from_module

    return from_module(backbone, weights=weights, image_size=image_size, blocks=blocks)


def _source(source: str) -> ModuleType:
    if source not in SOURCES:
        raise unknown_name(
            "backbone source", source, SOURCES, how_to_list=f"Sources: {', '.join(SOURCES)}."
        )
    return importlib.import_module(SOURCES[source])


def _parse(spec: str) -> tuple[ModuleType, str, dict[str, str]]:
    source, separator, rest = spec.partition(":")
    if not separator or source not in SOURCES:
        raise unknown_name("backbone", spec, list_backbones(), how_to_list=_HOW_TO_LIST)
    name, _, query = rest.partition("?")
    module = _source(source)
    if source != "module" and name not in module.list_names():
        raise unknown_name("backbone", spec, list_backbones(source), how_to_list=_HOW_TO_LIST)
    return module, name, dict(parse_qsl(query, keep_blank_values=True))
