"""One backend's part of a comparison, in a process of its own.

`python -m kerastl.runs.comparison.worker FOLDER BACKEND`, with KERAS_BACKEND set.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastl.blocks.block import HEAD
from kerastl.errors import is_fault, sentence
from kerastl.evaluation import scoring
from kerastl.evaluation.scores import Evaluation
from kerastl.internals.whole_files import write_whole
from kerastl.runs import config_file, training
from kerastl.runs.comparison import random_parts
from kerastl.runs.comparison.gradients import loss_and_gradients
from kerastl.runs.comparison.measures import START_WEIGHTS, BackendRun, StartNumbers, save_run
from kerastl.runs.config import RunConfig


class StepWatch(keras.callbacks.Callback):
    """Notes the loss and the time of every step.

    Args:
        batch_sizes: Images of each batch of an epoch.

    Attributes:
        losses: Loss of each step.
        seconds: Time of each step.
        first: Time from the start of `fit` to the end of its first step.
    """

    def __init__(self, batch_sizes: list[int]) -> None:
        super().__init__()
        self.losses: list[float] = []
        self.seconds: list[float] = []
        self.first: float | None = None
        self._batch_sizes = batch_sizes
        self._total = 0.0
        self._started = time.perf_counter()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._total = 0.0

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._step_started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        # Keras logs the mean over the epoch so far.
        total = float((logs or {})["loss"]) * sum(self._batch_sizes[: batch + 1])
        self.losses.append((total - self._total) / self._batch_sizes[batch])
        self._total = total
        now = time.perf_counter()
        if self.first is None:
            self.first = now - self._started
        self.seconds.append(now - self._step_started)


def measure(folder: Path, backend: str) -> BackendRun:
    """Train the folder's job on the backend that Keras runs, and measure it.

    Args:
        folder: Holds `{backend}.toml`; gets `{backend}.npz`, and the start
            weights where it has none yet.
        backend: Name of the backend.
    """
    # What starts this process has decided about code, and has written the file.
    config = RunConfig(**config_file.read(folder / f"{backend}.toml", safe_mode=False))
    prepared = training.prepare(config, echo=lambda line: print(line, file=sys.stderr))
    if len(prepared.phases) > 1:
        raise ValueError(
            "`compare` must be given a run of one phase. Received: "
            f"{len(prepared.phases)} phases. Choose a strategy of one phase."
        )
    model, data = prepared.model, prepared.data
    random_parts.switch_off(model)
    start = folder / START_WEIGHTS
    if start.exists():
        model.load_weights(start)
    else:
        write_whole(start, model.save_weights)
    images, labels = next(iter(data.train))
    _start_numbers(model, images, labels).save(folder / f"{backend}.npz")
    sizes = [len(batch) for batch in data.train.batch_sampler]
    watch = StepWatch(sizes)
    fitted = model.fit(
        data.train,
        validation_data=data.validation,
        epochs=prepared.phases[0].epochs,
        callbacks=[watch],
        cache=config.cache,
        verbose=0,
    )
    full = [
        seconds
        for step, seconds in enumerate(watch.seconds)
        if step and sizes[step % len(sizes)] == sizes[0]
    ]
    median = float(np.median(full or watch.seconds))
    scores = data.test and scoring.evaluate(model, data.test, data.class_names)
    right = scores.predicted == scores.labels if isinstance(scores, Evaluation) else np.array([])
    return BackendRun(
        backend=backend,
        losses=watch.losses,
        first_step_seconds=watch.first,
        step_seconds=median,
        images_per_second=sizes[0] / median,
        peak_memory_mb=_peak_memory_mb(),
        test_accuracy=scores.scores.get("accuracy") if scores else None,
        test_right=right.tolist(),
        train_accuracy=fitted.history.get("accuracy", [None])[-1],
        train_images=data.sizes["train"],
    )


def _start_numbers(model: Any, images: Any, labels: Any) -> StartNumbers:
    pixels = np.asarray(images)
    logits = model.get_layer(HEAD).logits_of(model.features(pixels), training=False)
    _, gradients = loss_and_gradients(model, pixels, labels)
    by_variable = {
        id(variable): gradient
        for variable, gradient in zip(model.trainable_variables, gradients, strict=True)
    }
    vectors = {
        block: np.concatenate([by_variable[id(variable)].ravel() for variable in variables])
        for block, variables in model.variables_by_block.items()
        if block in model.trainable_blocks
    }
    return StartNumbers(np.asarray(keras.ops.convert_to_numpy(logits)), vectors)


def _peak_memory_mb() -> float | None:
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


def main() -> int:
    """Measure, and leave the result or the reason for its absence in the folder."""
    folder, backend = Path(sys.argv[1]), sys.argv[2]
    try:
        run = measure(folder, backend)
    except Exception as error:
        traceback.print_exc()
        run = BackendRun(backend, error=sentence(error), is_fault=is_fault(error))
    save_run(folder / f"{backend}.json", run)
    return 0 if run.error is None else 1


if __name__ == "__main__":
    sys.exit(main())
