"""Every option of a run, with its default and its help, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from kerastl.blocks.batch_norm import MODES as BATCH_NORM_MODES
from kerastl.data.augmentation import FLIPS, PRESETS
from kerastl.data.resizing import RESIZE_MODES
from kerastl.data.sampling import SAMPLINGS
from kerastl.data.split_file import HASHED, SPLITS
from kerastl.data.splitting import check_fractions
from kerastl.data.tasks import CLASSIFICATION, TASKS
from kerastl.errors import unknown_name
from kerastl.optimizers import schedules
from kerastl.prefix import modes
from kerastl.runs import strategies
from kerastl.runs.backends import BACKENDS

AUTO = strategies.AUTO
"""The word for what is settled by itself, in the place of a number too."""

PROGRESS_MODES = ("auto", "bar", "lines", "json", "quiet")
"""How a run shows that it is going on."""


def _described(
    help: str,
    *,
    choices: tuple[str, ...] | None = None,
    minimum: float | None = None,
    below: float | None = None,
    positive: bool = False,
    only_in_file: bool = False,
    word: str | None = None,
) -> dict[str, Any]:
    """What a field of `RunConfig` means and may be; the command line shows it."""
    limits = {"choices": choices, "minimum": minimum, "below": below, "positive": positive}
    return {"help": help, "only_in_file": only_in_file, "word": word, **limits}


# As many seeds as NumPy's generator takes.
_SEEDS = 2**32


def _option(default: Any, help: str, **limits: Any) -> Any:
    return field(default=default, metadata=_described(help, **limits))


@dataclass(frozen=True)
class RunConfig:
    """The options of `kerastl run` and `kerastl plan`; each field carries its own help."""

    data: str = _option(
        "digits",
        "Images to train on: folder:PATH, csv:FILE, tfds:NAME, hf:NAME_OR_FOLDER, wds:PATTERN "
        "or digits.",
    )
    task: str = _option(
        CLASSIFICATION,
        "What is predicted: one class per image, any number of them, or numbers.",
        choices=TASKS,
    )
    backbone: str = _option(
        "bundled:efficientnet_lite0", "Pretrained network; `kerastl backbones` lists all."
    )
    weights: str = _option(
        "default", "default, a name of published weights, a local file, or none for random."
    )
    strategy: str = _option(
        strategies.AUTO,
        "What trains; auto picks by what a solved head shows, or images per class, and says why.",
        choices=strategies.NAMES,
    )
    solver: str = _option(
        strategies.AUTO,
        "solve: the head is solved on the frozen features, and fine-tuning starts from it; train: "
        "it starts at random; auto: solve, unless an option says how it is trained.",
        choices=strategies.SOLVERS,
    )
    freeze_through: str | None = _option(
        None, "Last frozen block of the strategy partial (default: about half way)."
    )
    learning_rate: float | None = _option(
        None, "Highest rate of the head (default: the strategy's own).", positive=True
    )
    block_rate: dict[str, float] = field(
        default_factory=dict, metadata=_described("Highest rate of one block.", positive=True)
    )
    layerwise_decay: float | None = _option(
        None, "Each block's rate over the next one's, in (0, 1].", positive=True
    )
    schedule: str = _option(
        "warmup-cosine", "How the rates change over the run.", choices=schedules.NAMES
    )
    batch_norm: str | None = _option(
        None,
        "Moving statistics of batch norms in blocks that train: renewed, or kept as in inference "
        "(default: frozen from a solved head, else train).",
        choices=BATCH_NORM_MODES,
    )
    epochs: int | None = _option(
        None,
        "Passes over the training images (default: 12; from a solved head by their number).",
        minimum=1,
    )
    phase: tuple[Mapping[str, Any], ...] = _option(
        (), "Options of each phase of training, one [[phase]] after the other.", only_in_file=True
    )
    patience: int | None = _option(
        None, "Epochs without a better score that end a phase; its best weights stay.", minimum=1
    )
    keep_best: str | None = _option(
        None, "Score whose best epoch is kept, as in accuracy or loss (default: the last epoch)."
    )
    keep_start: bool = _option(
        False,
        "Keep the solved head where fine-tuning from it does no better on the validation images; "
        "the strategy auto does.",
    )
    batch_size: int | str | None = _option(
        None,
        "Images per step (default: 32, or 16 where few train from a solved head); auto: as many "
        "of these as fit into memory, and gradients accumulated over the rest.",
        minimum=1,
        word=AUTO,
    )
    image_size: int | None = _option(
        None, "Height and width, pixels (default: the data's, else the weights' own).", minimum=1
    )
    resize: str = _option("crop", "How an image is brought to size.", choices=RESIZE_MODES)
    background: str = _option("white", "Colour behind transparent pixels: a name or #rrggbb.")
    skip_broken: bool = _option(False, "Leave broken image files out instead of stopping.")
    validation_split: float = _option(0.2, "Share for validation where the data has none.")
    test_split: float = _option(0.2, "Share for the final test where the data has none.")
    split: str = _option(
        HASHED,
        "How parts are drawn: by a hash of each image's path, which lasts when files are added, "
        "or by its position, as kerastl 0.1 did.",
        choices=SPLITS,
    )
    group_by: str | None = _option(
        None,
        "Regular expression: files in whose names it finds the same, as in patient_(\\d+), stay in "
        "one part.",
    )
    folds: int | None = _option(
        None,
        "Cross-validation of all images but the test: as many folds are held out in turn, and "
        "the model that is kept is of all.",
        minimum=2,
    )
    augment: str = _option(
        "none", "How strongly training images are changed at random.", choices=PRESETS
    )
    flip: str = _option("horizontal", "Mirror images that `augment` changes.", choices=FLIPS)
    mixup: float | None = _option(
        None, "Mix images and labels in pairs: strength, as in 0.2.", positive=True
    )
    cutmix: float | None = _option(
        None, "Paste parts of images into others: strength, as in 1.0.", positive=True
    )
    sampling: str = _option(
        "natural", "balanced: as many images of each class in an epoch.", choices=SAMPLINGS
    )
    pooling: str = _option("avg", "Pooling in front of the head.", choices=("avg", "max"))
    hidden_units: tuple[int, ...] = _option((), "Units of a hidden layer of the head.", minimum=1)
    dropout: float = _option(0.0, "Dropout rate of the head.", minimum=0, below=1)
    label_smoothing: float = _option(
        0.0, "Share of each label that is spread over all classes.", minimum=0, below=1
    )
    focal: float | None = _option(
        None, "Exponent of focal loss, as in 2: easy images count less.", positive=True
    )
    class_weight: str | None = _option(
        None, "balanced: rare classes count more in the loss.", choices=("balanced",)
    )
    optimizer: str = _option("adam", "Optimizer of every block.", choices=("adam", "adamw", "sgd"))
    weight_decay: float | None = _option(None, "Weight decay, not on norms and biases.", minimum=0)
    global_clipnorm: float | None = _option(
        None, "Longest gradient over all blocks.", positive=True
    )
    accumulate: int = _option(1, "Steps whose gradients make one update.", minimum=1)
    ema: float | None = _option(
        None, "Momentum of a moving average of the weights.", minimum=0, below=1
    )
    backend: str = _option("torch", "Keras backend.", choices=BACKENDS)
    precision: str = _option(
        "float32",
        "Number format of the computation.",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
    )
    cache: str = _option(
        "auto",
        "Where the frozen blocks' output is kept from epoch to epoch.",
        choices=modes.CACHE_MODES,
    )
    cache_views: int = _option(
        1, "Views of each image that are kept, where images change at random.", minimum=1
    )
    workers: int | None = _option(
        None, "Processes that read images (default: by data and cores).", minimum=0
    )
    seed: int = _option(
        0, "Seed of the split, the order and the head's first weights.", minimum=0, below=_SEEDS
    )
    calibrate: bool = _option(
        False, "Fit a temperature on the validation images, so that probabilities can be believed."
    )
    checkpoint_every: float = _option(
        10.0,
        "Minutes after which a checkpoint is written within an epoch too; each epoch ends with "
        "one.",
        minimum=0,
    )
    tensorboard: bool = _option(False, "Write scores and rates for TensorBoard into the folder.")
    output: str = _option("kerastl-run", "Folder for the model and the results.")

    def __post_init__(self) -> None:
        for option in fields(self):
            _check(option.name, getattr(self, option.name), option.metadata)
        if self.layerwise_decay is not None and self.layerwise_decay > 1:
            raise ValueError(
                "`layerwise_decay` must be in (0, 1]. Received: "
                f"layerwise_decay={self.layerwise_decay}."
            )
        if self.ema is not None and (self.patience or self.keep_best):
            raise ValueError(
                "`ema` must be left out with `patience` or `keep_best`, whose scores are not those "
                f"of the averaged weights. Received: ema={self.ema}. Leave one of them out."
            )
        if self.calibrate and self.task != CLASSIFICATION:
            raise ValueError(
                f"`calibrate` must be left out with the task {self.task}: one temperature "
                "is for images of one class each. Received: calibrate=True."
            )
        if self.class_weight and self.task != CLASSIFICATION:
            raise ValueError(
                f"`class_weight` must be left out with the task {self.task}, where an "
                f"image is not of one class. Received: class_weight={self.class_weight!r}."
            )
        for overrides in self.phase:
            _check_phase(overrides)
        check_fractions(self.validation_split, self.test_split)


PHASE_OPTIONS = (
    "strategy",
    "freeze_through",
    "learning_rate",
    "block_rate",
    "layerwise_decay",
    "schedule",
    "batch_norm",
    "epochs",
    "patience",
)
"""What a phase may set for itself; the rest is the run's."""


def of_phase(config: RunConfig, overrides: Mapping[str, Any]) -> RunConfig:
    """The options of one phase: its own, then the run's."""
    return replace(config, phase=(), **overrides)


def color(text: str) -> tuple[int, int, int]:
    """Red, green and blue, 0-255, of a colour's name or `#rrggbb`.

    Example:

    >>> color("white")
    (255, 255, 255)
    """
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError as error:
        raise ValueError(
            f"`background` must be the name of a colour or #rrggbb. Received: background={text!r}. "
            "Write white, black or #808080, for example."
        ) from error
    return red, green, blue


def _check_phase(overrides: Mapping[str, Any]) -> None:
    limits = {option.name: option.metadata for option in fields(RunConfig)}
    for name, value in overrides.items():
        if name not in PHASE_OPTIONS:
            listing = f"A [[phase]] may set {', '.join(PHASE_OPTIONS)}."
            raise unknown_name("phase option", name, PHASE_OPTIONS, how_to_list=listing)
        _check(name, value, limits[name])


def _check(name: str, value: Any, limits: Mapping[str, Any]) -> None:
    choices = limits["choices"]
    if value is None or (isinstance(value, str) and value == limits["word"]):
        return
    if choices is not None and value not in choices:
        raise unknown_name(name, value, choices, how_to_list=f"Choices: {', '.join(choices)}.")
    numbers = value.values() if isinstance(value, dict) else value
    for number in numbers if isinstance(value, dict | tuple) else (value,):
        if limits["positive"] and not 0 < number < float("inf"):
            raise ValueError(f"`{name}` must be above 0. Received: {name}={value}.")
        if limits["minimum"] is not None and not number >= limits["minimum"]:
            wanted = f"{limits['minimum']} or more"
            raise ValueError(f"`{name}` must be {wanted}. Received: {name}={value}.")
        if limits["below"] is not None and not number < limits["below"]:
            raise ValueError(f"`{name}` must be below {limits['below']}. Received: {name}={value}.")
