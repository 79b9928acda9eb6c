"""Open saved models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from kerastl.errors import reason_of
from kerastl.internals.tensorflow_stays_out import without_importing_tensorflow
from kerastl.model import classifier  # noqa: F401, registers the classes
from kerastl.model.archive import Archive, damaged, looked_through
from kerastl.model.description import FORMAT, Given, given_to_load
from kerastl.model.file_sizes import check_sizes


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
    archive = _checked(file, is_given=backbone is not None)
    given = Given(backbone, blocks, may_import=not safe_mode, origin=f"the model file {file}")
    token = given_to_load.set(given)
    try:
        with without_importing_tensorflow():
            return keras.saving.load_model(file, safe_mode=safe_mode)
    except _FAULTS as error:
        if backbone is not None or not safe_mode:
            raise  # it may be a fault of the caller's own module
        raise damaged(file, f"{type(error).__name__}: {error}") from error
    except ValueError as error:
        if _MISFIT not in str(error):
            raise
        what = f"its weights are not those of {archive.config['config'].get('backbone')}"
        raise damaged(file, f"{what}: {reason_of(error)}") from error
    finally:
        given_to_load.reset(token)


# What a config whose types are wrong makes of Keras and of kerastl.
_FAULTS = (
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    RecursionError,
    RuntimeError,
    AssertionError,
    MemoryError,
)
_MISFIT = "objects could not be loaded"  # Keras's words


def _checked(file: Path, *, is_given: bool) -> Archive:
    """The file as it is known to be whole, of kerastl, and no larger than its weights."""
    if not file.is_file():
        raise ValueError(f"There is no model file {file}. Name a .keras file or a run folder.")
    archive = looked_through(file)
    name = archive.config.get("registered_name")
    if name != "kerastl>ImageClassifier":
        raise ValueError(
            f"{file} must hold a model of kerastl. Received: {archive.config.get('class_name')}. "
            "Open other Keras models with keras.saving.load_model."
        )
    saved_with = str(archive.about.get("keras_version", "0"))
    if _release(saved_with) > _release(keras.__version__):
        raise ValueError(
            f"{file} was saved with Keras {saved_with}, newer than {keras.__version__} here. "
            "Run `pip install --upgrade keras`."
        )
    config = archive.config.get("config")
    if not isinstance(config, dict):
        raise damaged(file, "config.json has no `config`")
    if config.get("format") in range(FORMAT + 1) and not is_given:
        check_sizes(archive, file)
    return archive


def _release(version: str) -> tuple[int, ...]:
    """Major and minor number: what decides whether a file can be read."""
    return tuple(_numbers(version))[:2]


def _numbers(version: str) -> Iterator[int]:
    for part in version.split("."):
        if not part.isdigit():
            return
        yield int(part)
