"""Pooled features of images in a file: `.npz` through NumPy, `.parquet` through pyarrow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerastl.internals.whole_files import write_whole

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Embeddings:
    """One row of features per image.

    Attributes:
        features: float32, `(images, features)`.
        names: Path of each image file, or what the data set calls the image.
        labels: Class of each image, int64, `(images,)`, where it is known.
        class_names: Name of each class, where it is known.
    """

    features: np.ndarray
    names: tuple[str, ...]
    labels: np.ndarray | None = None
    class_names: tuple[str, ...] = ()


def check_path(path: Path) -> None:
    """Refuse a file that cannot be written here, before any work is done.

    Raises:
        ValueError: If its ending is unknown, or needs a package that is absent.
    """
    if path.suffix not in WRITERS:
        raise ValueError(f"`output` must end in {' or '.join(WRITERS)}. Received: output={path}.")
    if path.suffix == ".parquet" and find_spec("pyarrow") is None:
        raise ValueError(
            f"`output` must end in .npz where pyarrow is not installed. Received: output={path}. "
            'Run `pip install "kerastl[parquet]"`.'
        )


def save(embeddings: Embeddings, path: Path) -> None:
    """Write a file with the arrays or columns that `WRITERS` names for its ending.

    Raises:
        ValueError: As `check_path`.
        OSError: If the file cannot be written.
    """
    check_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda unfinished: WRITERS[path.suffix](embeddings, unfinished))


def _write_npz(embeddings: Embeddings, path: Path) -> None:
    """Arrays `features` and `names`, and where known `labels` and `class_names`."""
    import numpy as np

    arrays: dict[str, Any] = {
        "features": embeddings.features,
        "names": np.array(embeddings.names),
    }
    if embeddings.labels is not None:
        arrays["labels"] = embeddings.labels
        arrays["class_names"] = np.array(embeddings.class_names)
    with path.open("wb") as file:
        np.savez(file, **arrays)


def _write_parquet(embeddings: Embeddings, path: Path) -> None:
    """Columns `name` and `features`, and where known `label` and `class`."""
    import pyarrow
    from pyarrow import parquet

    flat = pyarrow.array(embeddings.features.reshape(-1))
    columns = {"name": pyarrow.array(embeddings.names, pyarrow.string())}
    if embeddings.labels is not None:
        columns["label"] = pyarrow.array(embeddings.labels)
        names = [embeddings.class_names[label] for label in embeddings.labels]
        columns["class"] = pyarrow.array(names, pyarrow.string()).dictionary_encode()
    columns["features"] = pyarrow.FixedSizeListArray.from_arrays(flat, embeddings.features.shape[1])
    parquet.write_table(pyarrow.table(columns), path)


WRITERS: Mapping[str, Callable[[Embeddings, Path], None]] = {
    ".npz": _write_npz,
    ".parquet": _write_parquet,
}
