"""Every optimizer of Keras and what can be set on it, as rows of a table."""

from collections.abc import Callable, Iterator
from itertools import cycle, product

import keras

o = keras.optimizers

OPTIMIZERS: dict[str, Callable[..., keras.optimizers.Optimizer]] = {
    "SGD": o.SGD,
    "SGD momentum": lambda **k: o.SGD(momentum=0.9, **k),
    "SGD nesterov": lambda **k: o.SGD(momentum=0.9, nesterov=True, **k),
    "RMSprop": o.RMSprop,
    "RMSprop centered": lambda **k: o.RMSprop(momentum=0.5, centered=True, **k),
    "Adam": o.Adam,
    "Adam amsgrad": lambda **k: o.Adam(amsgrad=True, **k),
    "AdamW": o.AdamW,
    "Adadelta": o.Adadelta,
    "Adagrad": o.Adagrad,
    "Adamax": o.Adamax,
    "Adafactor": o.Adafactor,
    "Nadam": o.Nadam,
    "Ftrl": o.Ftrl,
    "Lion": o.Lion,
    "Lamb": o.Lamb,
    "Muon": o.Muon,
    "ScheduleFreeAdamW": o.ScheduleFreeAdamW,
}
CLIPS: dict[str, dict] = {
    "no clip": {},
    "clipnorm": {"clipnorm": 0.5},
    "global_clipnorm": {"global_clipnorm": 0.5},
    "clipvalue": {"clipvalue": 0.3},
}
AVERAGES: dict[str, dict] = {
    "no average": {},
    "average": {"use_ema": True, "ema_momentum": 0.5},
    "overwriting average": {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2},
}
CYCLES: dict[str, dict] = {"each step": {}, "accumulated": {"gradient_accumulation_steps": 3}}
RATES: dict[str, Callable] = {
    "float": lambda: 0.02,
    "schedule": lambda: o.schedules.PolynomialDecay(0.02, 9, 0.001),
}
SCALES = ("no scale", "factor", "LossScaleOptimizer")
DECAYS: dict[str, dict] = {"own decay": {}, "decay": {"weight_decay": 0.1}}


def maker(name, clip, average, steps, rate, scale, decay) -> Callable[[], o.Optimizer]:
    """A function that makes the optimizer of a row, anew at each call."""
    options = {**CLIPS[clip], **AVERAGES[average], **CYCLES[steps], **DECAYS[decay]}

    def make() -> o.Optimizer:
        scaled = {"loss_scale_factor": 8.0} if scale == "factor" else {}
        made = OPTIMIZERS[name](learning_rate=RATES[rate](), **options, **scaled)
        if scale == "LossScaleOptimizer":
            return o.LossScaleOptimizer(made, initial_scale=16.0, dynamic_growth_steps=3)
        return made

    return make


def every_row() -> Iterator[tuple[str, ...]]:
    """The complete product, every second row with a weight decay."""
    decays = cycle(DECAYS)
    for row in product(OPTIMIZERS, CLIPS, AVERAGES, CYCLES, RATES, SCALES):
        yield (*row, next(decays))


def some_rows() -> Iterator[tuple[str, ...]]:
    """Every optimizer with every option, each option in turn, the others going round."""
    axes = [list(axis) for axis in (CLIPS, AVERAGES, CYCLES, RATES, SCALES, DECAYS)]
    for number, name in enumerate(OPTIMIZERS):
        for turn in range(4):
            # Steps of 1 and of 2 and so on: two axes do not go round together.
            yield (
                name,
                *(
                    axis[(turn * (1 + place % 2) + number + place) % len(axis)]
                    for place, axis in enumerate(axes)
                ),
            )
