"""The numbers of one backend, and their distance from another. Imports no Keras."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kerastl.internals.whole_files import write_whole

TOLERANCES: Mapping[str, float] = {"logits": 1e-4, "loss": 1e-3, "gradient": 1e-3}
"""Largest relative difference that counts as the same, per kind of number."""

START_WEIGHTS = "start.weights.h5"
"""File of the weights that every backend starts from."""

JUDGED_STEPS = 3
"""Steps whose losses are judged.

Rounding grows from step to step, with Adam about threefold, also where the programs are the same.
"""


@dataclass(frozen=True)
class BackendRun:
    """What one backend measured.

    Attributes:
        backend: The backend.
        error: Why it did not finish, one sentence, or None.
        is_fault: Whether the program is at fault for that.
        losses: Loss of each step, before its update.
        first_step_seconds: From the call of `fit` to the end of its first
            step: compilation and all.
        step_seconds: Median of the later steps.
        images_per_second: Batch size over the median step.
        peak_memory_mb: Most resident memory of the process, megabytes.
        test_accuracy: On the test images after training; None where there
            are none.
        test_right: Whether each test image got its own class, in their order.
        train_accuracy: Of the last epoch, as averaged while the weights were
            changing; None for a task without it.
        train_images: Number of training images.
    """

    backend: str
    error: str | None = None
    is_fault: bool = False
    losses: Sequence[float] = ()
    first_step_seconds: float | None = None
    step_seconds: float | None = None
    images_per_second: float | None = None
    peak_memory_mb: float | None = None
    test_accuracy: float | None = None
    test_right: Sequence[bool] = ()
    train_accuracy: float | None = None
    train_images: int = 0


@dataclass(frozen=True)
class Difference:
    """How far a backend is from the reference; each number relative to the reference's.

    Attributes:
        logits: Largest difference of the logits before training, over the
            largest logit.
        loss: Largest difference of the loss over the first steps.
        loss_all_steps: The same over all steps; not judged.
        gradient: Length of the difference of the first step's gradient over
            the length of the gradient, per block.
        beyond: Names of the measures that are beyond tolerance.
    """

    logits: float
    loss: float
    loss_all_steps: float
    gradient: Mapping[str, float] = field(default_factory=dict)
    beyond: Sequence[str] = ()


@dataclass(frozen=True)
class StartNumbers:
    """What a backend computes from the first batch with the start weights.

    Attributes:
        logits: `(images, classes)`, in inference mode.
        gradients: One vector per block that trains, in training mode.
    """

    logits: np.ndarray
    gradients: Mapping[str, np.ndarray]

    def save(self, path: Path) -> None:
        """Write an `.npz` file."""
        named = {f"gradient/{block}": vector for block, vector in self.gradients.items()}
        np.savez(path, logits=self.logits, **named)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> StartNumbers:
        """Read what `save` wrote."""
        with np.load(path) as file:
            gradients = {
                name.partition("/")[2]: file[name] for name in file.files if name != "logits"
            }
            return cls(file["logits"], gradients)


def difference(
    run: BackendRun, numbers: StartNumbers, reference: BackendRun, expected: StartNumbers
) -> Difference:
    """How far a run is from the reference."""
    logits = _largest(numbers.logits - expected.logits) / _largest(expected.logits)
    per_step = [
        abs(loss - wanted) / max(abs(wanted), 1e-12)
        for loss, wanted in zip(run.losses, reference.losses, strict=True)
    ]
    gradient = {
        block: float(np.linalg.norm(vector - expected.gradients[block]))
        / max(float(np.linalg.norm(expected.gradients[block])), 1e-30)
        for block, vector in numbers.gradients.items()
    }
    loss = max(per_step[:JUDGED_STEPS], default=0.0)
    beyond = [
        name
        for name, value in (
            ("logits", logits),
            ("loss", loss),
            ("gradient", max(gradient.values(), default=0.0)),
        )
        # A number that is none is beyond every tolerance.
        if not value <= TOLERANCES[name]
    ]
    return Difference(logits, loss, max(per_step, default=0.0), gradient, beyond)


def save_run(path: Path, run: BackendRun) -> None:
    """Write what a backend measured, as JSON."""
    write_json(path, asdict(run))


def load_run(path: Path) -> BackendRun:
    """Read what `save_run` wrote."""
    return BackendRun(**json.loads(path.read_text(encoding="utf-8")))


def write_json(path: Path, values: Any) -> None:
    """Write JSON, whole or not at all."""
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    write_whole(path, lambda unfinished: unfinished.write_text(text, encoding="utf-8"))


def _largest(values: np.ndarray) -> float:
    return float(np.abs(values).max())
