"""The results of a run: write and read `metrics.json` and `history.csv`. Imports no Keras."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

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
        completed: False where the run was stopped or diverged.
        stopped_by: Name of the signal that stopped it, "SIGINT" for Ctrl-C; else "".
        strategy: The strategy and why it was chosen, one sentence.
        class_names: Every class, in the order of the model's outputs.
        cache: What was kept of the frozen blocks' output, or why not.
        intervals: Part -> score -> both ends of its 95 % interval. Empty in
            files that are older than this entry.
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
    completed: bool = True
    stopped_by: str = ""
    strategy: str = ""
    class_names: Sequence[str] = ()
    cache: str = ""
    intervals: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)

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
    """Write `metrics.json` into a run folder."""
    text = json.dumps(asdict(results), indent=2, ensure_ascii=False) + "\n"
    write_whole(folder / METRICS_FILE, lambda path: path.write_text(text, encoding="utf-8"))


def load_metrics(folder: Path) -> RunResults:
    """Read `metrics.json` from a run folder; entries of newer versions are left out.

    Raises:
        ValueError: If the folder holds none, or it is not JSON.
    """
    path = folder / METRICS_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(
            f"`folder` must hold a run's {METRICS_FILE}. Received: {folder}. "
            "`kerastl run --output FOLDER` makes one."
        ) from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} must be JSON. Received: {error}. Run again.") from error
    known = {entry.name for entry in fields(RunResults)}
    return RunResults(**{key: value for key, value in values.items() if key in known})


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
    """The rows of `history.csv`, one per epoch, "epoch" among them; 0 is a solved head."""
    with (folder / HISTORY_FILE).open(newline="", encoding="utf-8") as file:
        return [
            {key: float(value) for key, value in row.items() if value}
            for row in csv.DictReader(file)
        ]


def model_file(path: Path) -> Path:
    """The model that a path means: a `.keras` file, or the one in a run folder.

    Raises:
        ValueError: If the path does not exist, or the folder holds no model.
    """
    if path.is_dir():
        if not (path / MODEL_FILE).is_file():
            raise ValueError(
                f"`model` must be a run folder with a {MODEL_FILE}, or a .keras file. Received: "
                f"the folder {path}, which has none. `kerastl run --output {path}` makes one."
            )
        return path / MODEL_FILE
    if not path.is_file():
        raise ValueError(
            f"`model` must be a run folder or a .keras file. Received: {path}, which does not "
            "exist. Check the path."
        )
    return path
