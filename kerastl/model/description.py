"""The config in a saved file, and the arguments that rebuild the classifier from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import Any

import keras

from kerastl.backbones import foreign_code
from kerastl.backbones.base import Backbone, preprocessing_from, resizing_from
from kerastl.blocks import batch_norm
from kerastl.blocks.block import HEAD
from kerastl.errors import DamagedFileError
from kerastl.internals.live import Live, target_of
from kerastl.internals.versions import __version__, versions

FORMAT = 2
"""Version of what `ImageClassifier.get_config` writes."""


@dataclass(frozen=True)
class Given:
    """What the caller of `load_model` brought along."""

    backbone: Any = None
    blocks: Any = None
    may_import: bool = False
    origin: str = "the model file"


_NOTHING = Given()


given_to_load: ContextVar[Given] = ContextVar("given", default=_NOTHING)


def _copied_backbone(model: Any) -> Backbone:
    """The backbone of a classifier as it is now, with copies of its weights."""
    layers = [model.get_layer(name) for name in model.block_names[:-1]]
    return Backbone(
        spec=str(model.backbone_spec),
        parts=[layer.copied_part() for layer in layers],
        preprocessing=model.preprocessing,
        resizing=model.resizing,
        image_size=model.image_size,
        can_reload=model.can_reload,
    )


def rebuilt(model: Any) -> Any:
    """A copy of a classifier, with its weights, under Keras's present dtype policy.

    Args:
        model: An `ImageClassifier`.
    """
    # Its code runs in this process already.
    token = given_to_load.set(Given(may_import=True))
    try:
        copy = type(model).from_config({**model.get_config(), "dtype_policy": None})
    finally:
        given_to_load.reset(token)
    for variable, original in zip(copy.weights, model.weights, strict=True):
        variable.assign(original)
    return copy


def policy_of(model: Any) -> str | None:
    """Name of the dtype policy that a classifier was built under; None where it has no name."""
    name = model.get_layer(model.block_names[0]).dtype_policy.name
    try:
        return str(keras.DTypePolicy(name).name)
    except ValueError:  # of quantised weights, which the file says of each layer
        return None


@contextmanager
def under_policy(name: str | None) -> Iterator[None]:
    """Build within the block under a dtype policy; None: under Keras's present one."""
    before = keras.config.dtype_policy()
    if name is not None:
        keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def config_of(model: Any) -> dict[str, Any]:
    """What a file says of a classifier, its weights aside."""
    head = model.get_layer(HEAD)
    return {
        "format": FORMAT,
        "versions": versions(),
        "backbone": Live(model.backbone_spec, model),
        "can_reload": model.can_reload,
        "num_classes": model.num_classes,
        "task": model.task,
        "image_size": model.image_size,
        "pooling": model.pooling,
        "dropout": head.dropout,
        "hidden_units": list(head.hidden_units),
        "temperature": head.temperature,
        "preprocessing": asdict(model.preprocessing),
        "resizing": asdict(model.resizing),
        "resize": model.resize,
        "class_names": list(model.class_names) if model.class_names else None,
        "frozen": [block.name for block in model.blocks if not block.trainable],
        "batch_norm": batch_norm.given_modes(model),
        "dtype_policy": policy_of(model),
        "name": model.name,
        **({} if model.white is None else {"white": model.white}),
        **({"dense": dense} if (dense := head.dense_options()) else {}),
    }


def arguments_from(config: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The arguments of `ImageClassifier` that `config_of` describes, and the frozen blocks.

    Raises:
        ValueError: If the file is from a newer version, or the backbone
            cannot be had from the file alone.
    """
    config = dict(config)
    backbone, blocks = backbone_to_reload(config)
    if by_hand := {"weights", "blocks"} & set(config):
        raise DamagedFileError(
            f"The model file must not say where other weights are. Received: {by_hand.pop()} in "
            "its config, which kerastl never writes. Do not use it."
        )
    frozen = config.pop("frozen")
    preprocessing = preprocessing_from(config.pop("preprocessing"))
    resizing = resizing_from(config.pop("resizing"))
    arguments = {
        "backbone": backbone,
        "weights": None,
        "blocks": blocks,
        "batch_norm": batch_norm.TRAIN,  # of files that are older than it
        "preprocessing": preprocessing,
        "resizing": resizing,
        **config,
    }
    return arguments, frozen


def backbone_to_reload(config: dict[str, Any]) -> tuple[Any, Any]:
    """What to build a saved classifier's backbone from; takes its keys out of `config`.

    Raises:
        ValueError: If the file is from a newer version, or the backbone
            cannot be had from the file alone.
    """
    written = config.pop("format", None)
    saved_with = config.pop("versions", {})
    if not isinstance(written, int) or written > FORMAT:
        raise ValueError(
            f"The model file must have format {FORMAT} or older. Received: format {written}, from "
            f"kerastl {saved_with.get('kerastl', 'of a newer version')}; here is kerastl "
            f"{__version__}. Run `pip install --upgrade kerastl`."
        )
    spec = config.pop("backbone")
    can_reload = config.pop("can_reload")
    given = given_to_load.get()
    if given.backbone is not None:
        return given.backbone, given.blocks
    is_code = not can_reload or foreign_code.names_code(spec)
    if is_code and (live := target_of(spec)) is not None:
        return _copied_backbone(live), None
    if not can_reload:
        raise ValueError(
            f"The model was built from an nn.Module ({spec}), which the file does not hold. "
            "Pass it: kerastl.load_model(path, backbone=module)."
        )
    spec = foreign_code.from_file(spec, given.origin, safe_mode=not given.may_import)
    foreign_code.check(spec)
    return spec, given.blocks
