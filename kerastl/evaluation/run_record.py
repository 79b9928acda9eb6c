"""The results of a run: write and read `metrics.json` and `history.csv`. Imports no Keras."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from kerastl.data.digests import file_digest
from kerastl.errors import DamagedFileError
from kerastl.internals.whole_files import write_whole

MODEL_FILE = "model.keras"
CONFIG_FILE = "config.toml"
HISTORY_FILE = "history.csv"
METRICS_FILE = "metrics.json"
PHASE = "phase"
"""Column of the history that says which phase an epoch was of, from 1."""

OUT_OF_FOLD_FILE = "out_of_fold.csv"
SPLIT_FILE = "split.csv"
CHECKPOINT_FILE = "checkpoint.safetensors"
DIGESTED_FILES = (MODEL_FILE, HISTORY_FILE, SPLIT_FILE)
"""Files whose digests `metrics.json` has."""
RUN_FILES = (MODEL_FILE, CONFIG_FILE, HISTORY_FILE, METRICS_FILE, CHECKPOINT_FILE)
FAULT_FILE = "fault.txt"
"""Where the traceback of a fault of the program goes."""

REPORT_FILE = "report.html"
CARD_FILE = "README.md"
REPORT_FILES = (REPORT_FILE, CARD_FILE)
"""Of a finished run. A README.md alone is no sign of one: any folder may have
it, and `kerastl.runs.report` leaves one alone that it did not write."""


@dataclass(frozen=True)
class RunResults:
    """The numbers of one run.

    Attributes:
        train: Loss and metrics of the last finished epoch, as averaged while
            its weights were changing. Empty where no epoch was finished.
        validation: The same on the validation images, at the epoch's end.
            Empty where the model was solved on these too.
        out_of_fold: Where the model is of all images but the test: scores of
            heads, or of whole models, that had not seen what they are scored on.
        folds: With the option `folds`: `count`, the `scores` of each fold, their `mean` and
            their `spread`, the standard deviation; of a run that was stopped in its folds
            `count` and how many were `finished`.
        head: How the head came about: `solver`; of one that was solved on all
            images but the test also `penalty`, `folds` and `images`; and
            `images_out_of_fold`: how many were held out once.
        test: "accuracy" and "loss" on the test images after the last epoch.
        seconds: Wall-clock time of each stage.
        images: Number of images of each part.
        skipped_images: Broken files that were left out.
        epochs: Finished epochs.
        steps: Of the epoch after them, which the checkpoint of a stopped run has.
        completed: False where the run was stopped or diverged.
        stopped_by: Name of the signal that stopped it, "SIGINT" for Ctrl-C; else "".
        strategy: The strategy and why it was chosen, one sentence.
        class_names: Every class, in the order of the model's outputs.
        cache: What was kept of the frozen blocks' output, or why not.
        intervals: Part -> score -> both ends of its 95 % interval. Empty in
            files that are older than this entry.
        digests: Name of another file of the folder -> digest of its content, as
            `save_metrics` found it.
    """

    train: Mapping[str, float] = field(default_factory=dict)
    validation: Mapping[str, float] = field(default_factory=dict)
    out_of_fold: Mapping[str, float] = field(default_factory=dict)
    folds: Mapping[str, Any] = field(default_factory=dict)
    head: Mapping[str, Any] = field(default_factory=dict)
    test: Mapping[str, float] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    images: Mapping[str, int] = field(default_factory=dict)
    skipped_images: int = 0
    epochs: int = 0
    steps: int = 0
    completed: bool = True
    stopped_by: str = ""
    strategy: str = ""
    class_names: Sequence[str] = ()
    cache: str = ""
    intervals: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_trained_in_folds(self) -> bool:
        """Whether a model was trained for each fold, and not only its head solved."""
        return bool(self.folds) and "folds" in self.seconds

    def num_images(self, part: str) -> int:
        """How many images the scores of a part are of, "out_of_fold" among the parts."""
        if part == "out_of_fold":
            return int(self.head.get("images_out_of_fold", 0))
        if part == "train" and "images" in self.head:
            return int(self.head["images"])
        return self.images.get(part, 0)


def split_logs(logs: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """Keras's logs of one epoch, as training and as validation metrics.

    Example:

    >>> split_logs({"loss": 0.5, "val_loss": 0.6, "learning_rate/head": 0.001})
    ({'loss': 0.5}, {'loss': 0.6})
    """
    others = (PHASE,)
    measured = {
        key: float(value) for key, value in logs.items() if "/" not in key and key not in others
    }
    train = {key: value for key, value in measured.items() if not key.startswith("val_")}
    validation = {key[4:]: value for key, value in measured.items() if key.startswith("val_")}
    return train, validation


def save_metrics(folder: Path, results: RunResults) -> None:
    """Write `metrics.json` into a run folder, with the digests of what is there already."""
    found = {name: file_digest(folder / name) for name in DIGESTED_FILES}
    results = replace(results, digests={name: digest for name, digest in found.items() if digest})
    text = json.dumps(asdict(results), indent=2, ensure_ascii=False) + "\n"
    write_whole(folder / METRICS_FILE, lambda path: path.write_text(text, encoding="utf-8"))


def load_metrics(folder: Path) -> RunResults:
    """Read `metrics.json` from a run folder; entries of newer versions are left out.

    Raises:
        ValueError: If the folder holds none.
        DamagedFileError: If it is not what `save_metrics` wrote.
    """
    path = folder / METRICS_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(
            f"`folder` must hold a run's {METRICS_FILE}. Received: {folder}. "
            "`kerastl run --output FOLDER` makes one."
        ) from error
    except (ValueError, RecursionError) as error:  # of JSON, and of UTF-8
        raise _damaged(path, f"it must be JSON: {error}") from error
    if not isinstance(values, dict):
        raise _damaged(path, "it must be a JSON object")
    known = {entry.name for entry in fields(RunResults)}
    defaults = asdict(RunResults())
    for key in [key for key in values if key in known]:
        if not _is_like(values[key], defaults[key]):
            raise _damaged(path, f"{key}={repr(values[key])[:60]}")
    scores = [values.get(part, {}) for part in ("train", "validation", "out_of_fold", "test")]
    if not all(isinstance(score, int | float) for part in scores for score in part.values()):
        raise _damaged(path, "a score must be a number")
    return RunResults(**{key: value for key, value in values.items() if key in known})


def _is_like(value: Any, default: Any) -> bool:
    """Whether a value of a file is of the kind that its default is."""
    if isinstance(default, tuple):
        return isinstance(value, list)
    if isinstance(default, bool):
        return isinstance(value, bool)
    return isinstance(value, type(default)) and not isinstance(value, bool)


def _damaged(path: Path, reason: str) -> DamagedFileError:
    return DamagedFileError(f"{path} is damaged ({reason}). Run again.")


def changed_files(folder: Path, results: RunResults) -> list[str]:
    """Names of a run's files that are not as they were when its results were written.

    Args:
        folder: Of the run. While a stopped run can go on, its files are ahead
            of its results, and none is said to have changed.
        results: What `load_metrics` gave.
    """
    if (folder / CHECKPOINT_FILE).exists():
        return []
    return [
        name
        for name, digest in results.digests.items()
        if name in DIGESTED_FILES and (folder / name).exists()
        if file_digest(folder / name) != digest
    ]


def save_history(
    folder: Path,
    epochs: Sequence[Mapping[str, float]],
    *,
    start: Mapping[str, float] | None = None,
) -> None:
    """Write `history.csv`: one row per epoch, from 1, with everything that was logged.

    Args:
        folder: Of the run.
        epochs: What was logged of each epoch.
        start: Scores before the first epoch, as epoch 0: of a solved head.
    """
    numbered = [*([(0, start)] if start else []), *enumerate(epochs, 1)]
    columns = list(dict.fromkeys(key for _, logs in numbered for key in logs))

    def write(path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["epoch", *columns])
            writer.writeheader()
            for number, logs in numbered:
                writer.writerow({"epoch": number, **{key: float(logs[key]) for key in logs}})

    write_whole(folder / HISTORY_FILE, write)


def load_history(folder: Path) -> list[dict[str, float]]:
    """The rows of `history.csv`, one per epoch, "epoch" among them; 0 is a solved head.

    Raises:
        OSError: If there is none.
        DamagedFileError: If it is not what `save_history` wrote.
    """
    path = folder / HISTORY_FILE
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, strict=True))
        if any(None in row or None in row.values() or "epoch" not in row for row in rows):
            raise ValueError("a row must have the columns of the first line, epoch among them")
        return [{key: float(value) for key, value in row.items() if value} for row in rows]
    except (ValueError, TypeError, csv.Error) as error:
        raise _damaged(path, str(error)) from error


def model_file(path: Path) -> Path:
    """The model that a path means: a `.keras` file, or the one in a run folder.

    Raises:
        ValueError: If the path does not exist, or the folder holds no model.
    """
    if path.is_dir():
        if not (path / MODEL_FILE).is_file():
            raise ValueError(
                f"`model` must be a run folder with a {MODEL_FILE}, or a .keras file. Received: "
                f"the folder {path}, which has none. {_how_to_make_one(path)}"
            )
        return path / MODEL_FILE
    if not path.is_file():
        raise ValueError(
            f"`model` must be a run folder or a .keras file. Received: {path}, which does not "
            "exist. Check the path."
        )
    return path


def _how_to_make_one(folder: Path) -> str:
    if (folder / CHECKPOINT_FILE).is_file():
        return f"It holds a stopped run: `kerastl run --resume {folder}` goes on with it."
    return f"`kerastl run --output {folder}` makes one."
