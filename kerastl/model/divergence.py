"""Stop training when the loss is not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras

from kerastl.errors import TrainingDivergedError
from kerastl.internals.tensor_versions import version_of


class StopOnNonFiniteLoss(keras.callbacks.Callback):
    """Stop at the first loss that is NaN or infinite, and go back to the last good weights.

    The weights and the moving statistics become those of the last finished
    epoch, or of the start. The optimizer's own state is not brought back:
    compile again, with a smaller rate, before training on. It comes after the
    user's callbacks: where one has stopped the training, as `TerminateOnNaN`
    does, it leaves everything as it is.

    Raises:
        TrainingDivergedError: From within `fit`, with the step and the rate
            of each block.
    """

    def __init__(self) -> None:
        super().__init__()
        self._good: list[Any] = []
        self._kept: dict[int, tuple[Any, Any]] = {}
        self._epoch = 0

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._keep()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._epoch = epoch + 1

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._keep()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        loss = float((logs or {}).get("loss", 0.0))
        if math.isfinite(loss) or self.model.stop_training:
            return
        rates = _current_rates(self.model)
        for variable, value in zip(self.model.weights, self._good, strict=True):
            variable.assign(value)
        self._good, self._kept = [], {}
        at = ", ".join(f"{block} {float(rate):.3g}" for block, rate in rates.items())
        raise TrainingDivergedError(
            f"The loss became {loss} at step {batch + 1} of epoch {self._epoch}"
            + (f", with the learning rates {at}" if at else "")
            + ". The weights are those of the last finished epoch, or of the start. "
            "Train with a smaller rate, a tenth for a first try, or with `global_clipnorm`."
        )

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        self._good, self._kept = [], {}

    def _keep(self) -> None:
        good = []
        for variable in self.model.weights:
            stamp = _stamp(variable)
            held, value = self._kept.get(id(variable), (None, None))
            if stamp is None or stamp != held:
                # A copy: `convert_to_numpy` may give a view of the live tensor.
                value = keras.ops.convert_to_numpy(variable.value).copy()
                self._kept[id(variable)] = (stamp, value)
            good.append(value)
        self._good = good


def _stamp(variable: Any) -> tuple[int, int] | None:
    """On torch, something that is another after a kernel has changed; else None.

    Torch does not count what batch norm does to its moving statistics, which
    are vectors: those are small and copied each time.
    """
    if keras.backend.backend() != "torch" or len(variable.shape) < 2:
        return None
    return id(variable.value), version_of(variable.value)


def _current_rates(model: Any) -> dict[str, float]:
    """The rate of each block that trains; empty for a model without blocks."""
    # A loss-scale optimizer wraps the one with the rates.
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    rates: dict[str, float] = getattr(optimizer, "current_rates", dict)()
    trained = getattr(model, "trainable_blocks", tuple(rates))
    return {block: rate for block, rate in rates.items() if block in trained}
