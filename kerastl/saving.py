"""Opening saved models, and what their configuration needs to be rebuilt."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import kerastl
from kerastl.backbones.base import Preprocessing, Resizing
from kerastl.blocks import HEAD

FORMAT = 1
"""Version of what `ImageClassifier.get_config` writes."""

_RECORDED = ("keras", "torch", "torchvision")


def versions() -> dict[str, str]:
    """What writes a file: kerastl, Keras, torch and torchvision, each with its version."""
    installed = {name: metadata.version(name) for name in _RECORDED}
    return {"kerastl": kerastl.__version__, **installed}


@dataclass(frozen=True)
class _Given:
    """What the caller of `load_model` brought along."""

    backbone: Any = None
    blocks: Any = None
    may_import: bool = False


_NOTHING = _Given()
_given: ContextVar[_Given] = ContextVar("given", default=_NOTHING)


def load_model(
    path: str | Path, *, backbone: Any = None, blocks: Any = None, safe_mode: bool = True
) -> Any:
    """Open a `.keras` file that `ImageClassifier.save` wrote.

    Args:
        path: The file.
        backbone: The `nn.Module`, for a model that was built from one.
        blocks: The `blocks` that the model was built with, for an `nn.Module`.
        safe_mode: False lets a file that names a `module:` backbone import and
            call it. Leave it on for files that you do not trust.

    Returns:
        The `ImageClassifier`, compiled and with its optimizer's state as saved.

    Raises:
        ValueError: If the file is none, is from a newer version, or needs
            `backbone`.
    """
    import keras

    import kerastl.classifier  # noqa: F401, registers the classes

    file = Path(path).expanduser()
    _check_file(file)
    token = _given.set(_Given(backbone, blocks, may_import=not safe_mode))
    try:
        return keras.saving.load_model(file, safe_mode=safe_mode)
    finally:
        _given.reset(token)


def rebuilt(model: Any) -> Any:
    """A copy of a classifier, with its weights, under Keras's present dtype policy.

    Args:
        model: An `ImageClassifier` whose spec rebuilds its backbone.
    """
    # Its code runs in this process already.
    token = _given.set(_Given(may_import=True))
    try:
        copy = type(model).from_config(model.get_config())
    finally:
        _given.reset(token)
    for variable, original in zip(copy.weights, model.weights, strict=True):
        variable.assign(original)
    return copy


def config_of(model: Any) -> dict[str, Any]:
    """What a file says of a classifier, its weights aside."""
    head = model.get_layer(HEAD)
    return {
        "format": FORMAT,
        "versions": versions(),
        "backbone": model.backbone_spec,
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
        "name": model.name,
    }


def arguments_from(config: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The arguments of `ImageClassifier` that `config_of` describes, and the frozen blocks.

    Raises:
        ValueError: If the file is from a newer version, or the backbone
            cannot be had from the file alone.
    """
    config = dict(config)
    backbone, blocks = backbone_to_reload(config)
    frozen = config.pop("frozen")
    preprocessing = preprocessing_from(config.pop("preprocessing"))
    resizing = resizing_from(config.pop("resizing"))
    arguments = {
        "backbone": backbone,
        "weights": None,
        "blocks": blocks,
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
            f"{kerastl.__version__}. Run `pip install --upgrade kerastl`."
        )
    spec = config.pop("backbone")
    can_reload = config.pop("can_reload")
    given = _given.get()
    if given.backbone is not None:
        return given.backbone, given.blocks
    if not can_reload:
        raise ValueError(
            f"The model was built from an nn.Module ({spec}), which the file does not hold. "
            "Pass it: kerastl.load_model(path, backbone=module)."
        )
    if spec.startswith("module:") and not given.may_import:
        raise ValueError(
            f"The model's backbone is Python code to import ({spec}). If you trust the file, "
            "say kerastl.load_model(path, safe_mode=False), in the shell --no-safe-mode, or pass "
            "backbone=module."
        )
    return spec, given.blocks


def preprocessing_from(config: dict[str, Any]) -> Preprocessing:
    """The dataclass from its JSON form, whose tuples have become lists."""
    channels = {key: tuple(config[key]) for key in ("mean", "std")}
    return Preprocessing(**{**config, **channels})


def resizing_from(config: dict[str, Any]) -> Resizing:
    """The dataclass from its JSON form."""
    return Resizing(**config)


def _check_file(file: Path) -> None:
    if not file.is_file():
        raise ValueError(f"There is no model file {file}. Name a .keras file or a run folder.")
    config, about = _read_json(file)
    name = config.get("registered_name")
    if name != "kerastl>ImageClassifier":
        raise ValueError(
            f"{file} must hold a model of kerastl. Received: {config.get('class_name')}. "
            "Open other Keras models with keras.saving.load_model."
        )
    import keras

    saved_with = str(about.get("keras_version", "0"))
    if _release(saved_with) > _release(keras.__version__):
        raise ValueError(
            f"{file} was saved with Keras {saved_with}, newer than {keras.__version__} here. "
            "Run `pip install --upgrade keras`."
        )


def _read_json(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        with zipfile.ZipFile(file) as archive:
            config, about = (archive.read(name) for name in ("config.json", "metadata.json"))
        return json.loads(config), json.loads(about)
    except (zipfile.BadZipFile, KeyError, json.JSONDecodeError, OSError) as error:
        raise ValueError(
            f"{file} is not a .keras file, or it is damaged. Name a file that `model.save` wrote."
        ) from error


def _release(version: str) -> tuple[int, ...]:
    """Major and minor number: what decides whether a file can be read."""
    return tuple(_numbers(version))[:2]


def _numbers(version: str) -> Iterator[int]:
    for part in version.split("."):
        if not part.isdigit():
            return
        yield int(part)
