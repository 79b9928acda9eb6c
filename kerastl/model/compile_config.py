"""The arguments of `compile` in a saved file: what may stand there, and what of it is obeyed."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from kerastl.errors import DamagedFileError
from kerastl.optimizers.old_files import BlockOptimizer

# Keras's own modules of what `compile` takes; nothing in them allocates, but for metrics.
_MODULES = re.compile(
    r"keras\.(losses|metrics|optimizers|optimizers\.schedules)"
    # As kerastl 0.1 wrote them.
    r"|keras\.src\.(backend\.\w+\.)?(losses|metrics|optimizers)\.[\w.]+"
)
_PLAIN = {("keras", "DTypePolicy"), ("keras.dtype_policies", "DTypePolicy")}
_KINDS = (
    keras.losses.Loss,
    keras.metrics.Metric,
    keras.optimizers.Optimizer,
    keras.optimizers.schedules.LearningRateSchedule,
    BlockOptimizer,
)
_NUMBERS = ("__numpy__", "__tensor__")
_NUMBER_TYPE = re.compile(r"(bool|b?float|u?int)\d*")
_MOST_CELLS = 2**22
"""What the metrics of a file may count in, together: two thousand classes squared."""


def obeyed(config: Mapping[str, Any], *, trusted: bool) -> dict[str, Any]:
    """The arguments of `compile` that a file says, as objects.

    How a step is run is this machine's to say, not the file's: `jit_compile=True`
    starts compilers, and `steps_per_execution` unrolls a loop.

    Args:
        config: As `get_compile_config` wrote it.
        trusted: Whether the file's code may run; it is obeyed in everything then.

    Raises:
        DamagedFileError: If it names something that is no loss, metric or optimizer.
    """
    if not isinstance(config, Mapping):
        raise DamagedFileError(_sentence("a compile config that is no object"))
    config = dict(config)
    if not trusted:
        check_objects(config)
        if config.get("jit_compile") not in (False, None):
            config["jit_compile"] = "auto"
        config["steps_per_execution"] = 1
    made = keras.saving.deserialize_keras_object(config)
    if not isinstance(made, dict):
        raise DamagedFileError(_sentence("a compile config that is an object of a class"))
    return made


def check_objects(config: Any) -> None:
    """Refuse whatever in a config would build more than what `compile` takes.

    Raises:
        DamagedFileError: Naming it.
    """
    cells = 0
    for found in _described(config):
        name, module = found["class_name"], found.get("module")
        inner = found.get("config")
        if not isinstance(name, str) or "build_config" in found:
            raise DamagedFileError(_sentence(repr(name)[:80]))
        if name in _NUMBERS:
            if not _NUMBER_TYPE.fullmatch(str((inner or {}).get("dtype"))):
                raise DamagedFileError(_sentence(f"numbers of the type {repr(inner)[:80]}"))
        elif name != "function" and not _is_known(found.get("registered_name"), name, module):
            raise DamagedFileError(_sentence(f"{module}.{name}"))
        cells += _cells(inner)
    if cells > _MOST_CELLS:
        raise DamagedFileError(_sentence(f"metrics that count in {cells:,} cells"))


def _is_known(registered: Any, name: str, module: Any) -> bool:
    own = keras.saving.get_registered_object(registered if registered is not None else name)
    if own is not None:
        return not inspect.isclass(own) or issubclass(own, _KINDS)
    return _MODULES.fullmatch(str(module)) is not None or (module, name) in _PLAIN


def _described(config: Any) -> Iterator[Mapping[str, Any]]:
    """Every object that a config describes, at any depth."""
    waiting = [config]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Mapping):
            if "class_name" in each:
                yield each
            waiting += each.values()
        elif isinstance(each, list | tuple):
            waiting += each


def _cells(config: Any) -> int:
    """Upper bound of what a metric counts in: classes squared, or thresholds of each label."""
    if not isinstance(config, Mapping):
        return 0
    classes, thresholds, labels = (
        value if isinstance(value := config.get(name), int) else 0
        for name in ("num_classes", "num_thresholds", "num_labels")
    )
    return max(classes**2, thresholds * max(labels, 1), labels)


def _sentence(received: str) -> str:
    return (
        "The model file is damaged, or made by hand: what it was compiled with must be losses, "
        f"metrics and optimizers. Received: {received}. Register your own classes before you load "
        "it (keras.saving.register_keras_serializable), or do not use the file."
    )
