"""Checkpoints: save and restore the complete state of a run.

A checkpoint is one safetensors file: tensors, and a JSON header. It holds the
weights and moving statistics, the seeds of dropout, the optimizer's state by
block, the best weights so far and those at the start, what early stopping remembers, the random
state of Python, NumPy and torch, how far the run had come and, amid an epoch, what its
metrics have summed; and which images have turned out to be broken.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from kerastl.errors import DamagedFileError
from kerastl.internals.versions import versions
from kerastl.internals.whole_files import write_whole
from kerastl.runs.checkpoint_digest import digest_of

FORMAT = 4
_WITHOUT_DIGEST = 2
_HEADER, _DIGEST = "kerastl", "digest"


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
        phase: Number of the phase that is under way, from 0.
        phase_start: Epochs that were finished when it began.
        epochs: Logs of every finished epoch.
        best: What early stopping remembers, without the weights; None where there is none.
        start: Scores of the solved head that the run started from; None where
            there is none.
        steps: Of the epoch under way; 0 between two epochs.
        images: Of its order that these steps were cut from.
    """

    phase: int = 0
    phase_start: int = 0
    epochs: Sequence[Mapping[str, float]] = ()
    best: Mapping[str, Any] | None = None
    start: Mapping[str, float] | None = None
    steps: int = 0
    images: int = 0

    def check(self) -> None:
        """Refuse what no run has written.

        Raises:
            TypeError: If so, with the field.
        """
        counts = (self.phase, self.phase_start, self.steps, self.images)
        is_possible = {
            "counts": all(_is_number(each, int) and each >= 0 for each in counts),
            "epochs": isinstance(self.epochs, list) and all(map(_are_scores, self.epochs)),
            "start": self.start is None or _are_scores(self.start),
            "best": self.best is None
            or (_are_scores(self.best) and {"wait", "best", "best_epoch"} <= set(self.best)),
        }
        wrong = [name for name, possible in is_possible.items() if not possible]
        if wrong or self.phase_start > len(self.epochs) or (self.images > 0) != (self.steps > 0):
            raise TypeError(f"its progress is none of a run: {', '.join(wrong) or 'counts'}")

    @property
    def has_begun(self) -> bool:
        """Whether there is something to go on from."""
        return bool(self.epochs or self.start or self.steps)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as it was read.

    Attributes:
        config: Text of the run's config file.
        data: Fingerprint of the training images.
        progress: How far the run had come.
        versions: Of the packages that wrote it.
        arrays: Every tensor, by name.
        random_state: Of Python's own generator, and NumPy's.
    """

    config: str
    data: str
    progress: Progress
    versions: Mapping[str, str]
    arrays: Mapping[str, np.ndarray] = field(repr=False)
    random_state: Mapping[str, Any] = field(repr=False)

    @property
    def best_weights(self) -> list[np.ndarray] | None:
        """The weights of the best epoch so far, in the order of `model.get_weights()`."""
        return _numbered(self.arrays, "best") or None

    def broken(self, part: str) -> np.ndarray | None:
        """Whether each image of a part had turned out to be broken; None where none had."""
        return self.arrays.get(f"broken/{part}")

    @property
    def start_weights(self) -> list[np.ndarray] | None:
        """The weights with the solved head that the run started from, in the same order."""
        return _numbered(self.arrays, "start") or None


def save(
    path: Path,
    model: Any,
    progress: Progress,
    *,
    config: str,
    data: str,
    best_weights: Sequence[np.ndarray] | None = None,
    start_weights: Sequence[np.ndarray] | None = None,
    metrics: Sequence[np.ndarray] = (),
    broken: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        path: Where to; what was there stays until the new one is complete.
        model: The classifier, between two steps.
        progress: How far the run has come.
        config: Text of the run's config file.
        data: Fingerprint of the training images.
        best_weights: Weights of the best epoch so far, if they are kept.
        start_weights: Those with the solved head, if they may come back.
        metrics: What the metrics of the epoch under way have summed, as `summed` gives it.
        broken: By part, whether each image has turned out to be broken, `(images,)`.

    Raises:
        OSError: If the disk is full.
    """
    arrays = _with_numbers("variables", [_array(variable) for variable in model.variables])
    arrays |= _optimizer_arrays(model.optimizer)
    arrays |= _with_numbers("best", best_weights or ())
    arrays |= _with_numbers("start", start_weights or ())
    arrays |= _with_numbers("metrics", metrics)
    arrays |= {f"broken/{part}": found for part, found in (broken or {}).items() if found.any()}
    random_arrays, random_header = _random_state()
    header = {
        "format": FORMAT,
        "config": config,
        "data": data,
        "progress": asdict(progress),
        "versions": versions(),
        "random": random_header,
    }
    tensors = {
        name: np.asarray(array, order="C") for name, array in (arrays | random_arrays).items()
    }
    text = json.dumps(header)
    metadata = {_HEADER: text, _DIGEST: digest_of(text, tensors)}
    write_whole(path, lambda unfinished: save_file(tensors, unfinished, metadata))


def load(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        DamagedFileError: If the file is no checkpoint, or is not as it was written.
        ValueError: If it is of a newer version.
    """
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            header = json.loads(metadata[_HEADER])
            if header["format"] > FORMAT:
                raise _newer(path, header)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        written = metadata.get(_DIGEST)
        if header["format"] > _WITHOUT_DIGEST and written != digest_of(metadata[_HEADER], arrays):
            raise _damaged(path, "its digest is not that of its content")
        progress = Progress(**header["progress"])
        progress.check()
        _check_random_state(header["random"], arrays)
        return Checkpoint(
            config=header["config"],
            data=header["data"],
            progress=progress,
            versions=header["versions"],
            arrays=arrays,
            random_state=header["random"],
        )
    except (SafetensorError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(path, str(error)) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, reason: str) -> DamagedFileError:
    return DamagedFileError(
        f"{path} is not a checkpoint of a run, or it is damaged ({reason}). Run anew with "
        "--overwrite; the run's config.toml repeats it."
    )


def _is_number(value: Any, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _are_scores(values: Any) -> bool:
    return isinstance(values, dict) and all(_is_number(v, (int, float)) for v in values.values())


def _check_random_state(state: Any, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse what is no state of random numbers.

    Raises:
        TypeError: If so.
    """
    try:
        version, numbers, gauss = state["python"]
        random.Random().setstate((version, tuple(numbers), gauss))
        np.random.RandomState().set_state(("MT19937", arrays["random/numpy"], *state["numpy"]))
        if arrays["random/torch"].dtype != np.uint8:
            raise TypeError("torch's is of another type")
    except (ValueError, OverflowError, TypeError) as error:
        raise TypeError(f"its random state is none: {error}") from error


def _newer(path: Path, header: Mapping[str, Any]) -> ValueError:
    return ValueError(
        f"{path} must have format {FORMAT} or older. Received: format {header['format']}, from "
        f"kerastl {header['versions'].get('kerastl')}. Run `pip install --upgrade kerastl`."
    )


def restore(model: Any, checkpoint: Checkpoint) -> None:
    """Give a model its weights, seeds and optimizer back; its phase has begun.

    Raises:
        ValueError: If the checkpoint is of another model.
    """
    _assign(model.variables, "variables", checkpoint)
    if checkpoint.progress.epochs or checkpoint.progress.steps:  # else the optimizer has no state
        _restore_optimizer(model, checkpoint.arrays)


def _assign(
    variables: Sequence[Any], name: str, checkpoint: Checkpoint, *, add: bool = False
) -> None:
    saved = _numbered(checkpoint.arrays, name)
    shapes = [tuple(array.shape) for array in saved]
    if shapes != [tuple(variable.shape) for variable in variables]:
        raise ValueError(
            f"The checkpoint must be of this model. Received: {len(saved)} tensors for "
            f"{len(variables)} variables, or others in shape. Resume with the versions that wrote "
            f"it: {', '.join(f'{name} {number}' for name, number in checkpoint.versions.items())}."
        )
    for variable, array in zip(variables, saved, strict=True):
        (variable.assign_add if add else variable.assign)(array)


def summed(model: Any) -> list[np.ndarray]:
    """What the metrics of a model have summed so far."""
    return [_array(variable).copy() for variable in model.metrics_variables]


def add_summed(model: Any, checkpoint: Checkpoint) -> None:
    """Add what the metrics had summed when the checkpoint was written, amid an epoch.

    Raises:
        ValueError: If the checkpoint is of a model with other metrics.
    """
    _assign(model.metrics_variables, "metrics", checkpoint, add=True)


def restore_random_state(model: Any, checkpoint: Checkpoint) -> None:
    """Go on with the random numbers where the checkpoint was written.

    Those of Keras's dropout, of Python, NumPy and torch. It is for right
    before the first step: `fit` tries the model out before that.
    """
    import torch

    weights = {id(variable) for variable in model.weights}
    saved = _numbered(checkpoint.arrays, "variables")
    for variable, array in zip(model.variables, saved, strict=True):
        if id(variable) not in weights:
            variable.assign(array)

    version, numbers, gauss = checkpoint.random_state["python"]
    random.setstate((version, tuple(numbers), gauss))
    keys = checkpoint.arrays["random/numpy"]
    np.random.set_state(("MT19937", keys, *checkpoint.random_state["numpy"]))
    torch.set_rng_state(torch.from_numpy(checkpoint.arrays["random/torch"].copy()))
    on_gpus = _numbered(checkpoint.arrays, "random/cuda")
    if on_gpus and torch.cuda.device_count() == len(on_gpus):
        torch.cuda.set_rng_state_all([torch.from_numpy(array.copy()) for array in on_gpus])


def _random_state() -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    import torch

    _, keys, *rest = np.random.get_state()
    arrays = {"random/torch": torch.get_rng_state().numpy(), "random/numpy": np.asarray(keys)}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states = [state.cpu().numpy() for state in torch.cuda.get_rng_state_all()]
        arrays |= _with_numbers("random/cuda", states)
    return arrays, {"python": random.getstate(), "numpy": rest}


def _optimizer_arrays(optimizer: Any) -> dict[str, np.ndarray]:
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    store: dict[str, Any] = {}
    inner.save_own_variables(store)
    arrays = {f"optimizer/{name}": np.asarray(value) for name, value in store.items()}
    return arrays | _with_numbers("scale", [_array(variable) for variable in _outer(optimizer)])


def _restore_optimizer(model: Any, arrays: Mapping[str, np.ndarray]) -> None:
    optimizer = model.optimizer
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    prefix = "optimizer/"
    inner.load_own_variables(
        {name.removeprefix(prefix): array for name, array in arrays.items() if prefix in name}
    )
    for variable, array in zip(_outer(optimizer), _numbered(arrays, "scale"), strict=True):
        variable.assign(array)


def _outer(optimizer: Any) -> list[Any]:
    """What a loss-scale optimizer has besides the one that it wraps."""
    inner = getattr(optimizer, "inner_optimizer", None)
    if inner is None:
        return []
    inside = {id(variable) for variable in inner.variables}
    return [variable for variable in optimizer.variables if id(variable) not in inside]


def _array(variable: Any) -> np.ndarray:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(variable.value))


def _with_numbers(name: str, arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{name}/{number}": array for number, array in enumerate(arrays)}


def _numbered(arrays: Mapping[str, np.ndarray], name: str) -> list[np.ndarray]:
    found: list[np.ndarray] = []
    while f"{name}/{len(found)}" in arrays:
        found.append(arrays[f"{name}/{len(found)}"])
    return found
