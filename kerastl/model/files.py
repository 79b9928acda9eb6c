"""Open saved models."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from kerastl.model import classifier  # noqa: F401, registers the classes
from kerastl.model.description import Given, given_to_load


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
    file = Path(path).expanduser()
    _check_file(file)
    token = given_to_load.set(
        Given(backbone, blocks, may_import=not safe_mode, origin=f"the model file {file}")
    )
    try:
        return keras.saving.load_model(file, safe_mode=safe_mode)
    finally:
        given_to_load.reset(token)


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
