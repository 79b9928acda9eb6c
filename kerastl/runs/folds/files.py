"""What is kept of a fold: its predictions beside its metrics and history, and no model."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerastl.errors import DamagedFileError
from kerastl.evaluation.run_record import (
    CHECKPOINT_FILE,
    METRICS_FILE,
    MODEL_FILE,
    RUN_FILES,
    SPLIT_FILE,
    load_metrics,
)
from kerastl.internals.whole_files import remove_unfinished, write_whole

FOLDS_FOLDER = "folds"
PREDICTIONS_FILE = "predictions.npz"


@dataclass(frozen=True)
class FoldResult:
    """What a fold gave.

    Attributes:
        images: Numbers of the images that were held out, int64, `(images,)`.
        outputs: What they got, `(images, classes or numbers)`.
        epochs: Epochs up to the one whose weights were kept.
        kept_start: Whether the solved head was kept, and not what came of it in training.
    """

    images: np.ndarray
    outputs: np.ndarray
    epochs: int
    kept_start: bool


def fold_folder(folder: Path, fold: int) -> Path:
    """The folder of a fold, which is numbered from 1 there.

    Args:
        folder: The run's.
        fold: From 0.
    """
    return folder / FOLDS_FOLDER / str(fold + 1)


def save_fold(folder: Path, result: FoldResult) -> None:
    """Write the predictions of a fold into its folder; it is finished once metrics are there."""

    def write(path: Path) -> None:
        np.savez(
            path,
            images=result.images,
            outputs=result.outputs,
            epochs=np.array(result.epochs),
            kept_start=np.array(result.kept_start),
        )

    write_whole(folder / PREDICTIONS_FILE, write)


def finished_fold(folder: Path, held_out: np.ndarray) -> FoldResult | None:
    """What a fold gave, or None where it is not finished; its model goes.

    Args:
        folder: Of the fold.
        held_out: Numbers of the images that it holds out, int64, `(images,)`.

    Raises:
        DamagedFileError: If its predictions are damaged, or of other images.
    """
    file = folder / PREDICTIONS_FILE
    if not (file.is_file() and (folder / METRICS_FILE).is_file()):
        return None
    if not load_metrics(folder).completed:
        return None
    found = _read(file, held_out)
    for name in (MODEL_FILE, CHECKPOINT_FILE):
        (folder / name).unlink(missing_ok=True)
    return found


def _read(file: Path, held_out: np.ndarray) -> FoldResult:
    try:
        with file.open("rb") as opened, np.load(opened) as arrays:
            found = FoldResult(
                arrays["images"],
                arrays["outputs"],
                int(arrays["epochs"]),
                bool(arrays["kept_start"]),
            )
        # Broken images are held out, and have no prediction.
        if not np.isin(found.images, held_out).all():
            raise ValueError("they are of images that this fold does not hold out")
        if found.outputs.ndim != 2 or len(found.outputs) != len(found.images):
            raise ValueError(f"outputs of shape {found.outputs.shape}, {len(found.images)} images")
    except (ValueError, TypeError, LookupError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DamagedFileError(
            f"{file} must hold the predictions of this fold. Received: a file that is damaged "
            f"({error}). Remove {file.parent}: --resume trains that fold again."
        ) from error
    return found


def remove_folds(folder: Path) -> None:
    """Remove what the folds of an older run have left, and nothing else.

    Args:
        folder: The run's.
    """
    folds = folder / FOLDS_FOLDER
    for each in folds.glob("*") if folds.is_dir() else ():
        if not (each.is_dir() and each.name.isdigit()):
            continue
        remove_unfinished(each)
        for name in (*RUN_FILES, PREDICTIONS_FILE, SPLIT_FILE):
            (each / name).unlink(missing_ok=True)
        if not any(each.iterdir()):
            each.rmdir()
