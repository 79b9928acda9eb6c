"""Scores and rates for TensorBoard, by torch's own writer, on every backend."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras

FOLDER = "tensorboard"


def check_tensorboard() -> None:
    """Refuse to write for TensorBoard where it is not installed.

    Raises:
        ValueError: If so, naming what to do.
    """
    if find_spec("tensorboard") is None:
        raise ValueError(
            "`tensorboard` must be installed. Received: tensorboard=True. "
            'Run `pip install "kerastl[tensorboard]"`.'
        )


class TensorBoardLog(keras.callbacks.Callback):
    """Writes everything that is logged of an epoch, in the folder `tensorboard` of the run.

    Args:
        folder: The run folder.
        finished: Epochs that were finished before; later ones of an earlier
            process are dropped.
    """

    def __init__(self, folder: Path, *, finished: int) -> None:
        super().__init__()
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / FOLDER), purge_step=finished + 1)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        for name, value in (logs or {}).items():
            kind = "validation" if name.startswith("val_") else "train"
            tag = name if "/" in name else f"{kind}/{name.removeprefix('val_')}"
            self._writer.add_scalar(tag, float(value), epoch + 1)
        self._writer.flush()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        self._writer.close()
