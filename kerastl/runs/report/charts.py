"""The report's charts, each an SVG element."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerastl.evaluation.calibration import Reliability
from kerastl.evaluation.run_record import PHASE
from kerastl.runs.report.drawing import FAINT, FIRST, HEAT, INK, SECOND, drawn

RATE = "learning_rate/"
_VALIDATION = "val_"
_OUT_OF_FOLD = "out_of_fold_"
# Up to here each epoch has a mark of its own.
_FEW_EPOCHS = 25
# Rates below this share of the highest are drawn alike: a schedule may end in almost nothing.
_SMALLEST_RATE = 1e-4
_FAINTEST = 0.2
_ROW_HEIGHT = 0.2

History = Sequence[Mapping[str, float]]


def metric_names(history: History) -> list[str]:
    """What was measured in every epoch, the loss first, without what is of the validation."""
    columns = dict.fromkeys(key for row in history for key in row)
    names = [
        key
        for key in columns
        if "/" not in key
        and not key.startswith((_VALIDATION, _OUT_OF_FOLD))
        and key not in ("epoch", PHASE)
    ]
    return sorted(names, key=lambda name: name != "loss")


def metric_chart(history: History, metric: str, *, name: str) -> str:
    """One metric per epoch, of training and of validation."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        marker = "o" if len(history) <= _FEW_EPOCHS else None
        for key, label, colour, line in (
            (metric, "train", FIRST, "-"),
            (_VALIDATION + metric, "validation", SECOND, "--"),
            (_OUT_OF_FOLD + metric, "out of fold", SECOND, "--"),
        ):
            points = [(row["epoch"], row[key]) for row in history if key in row]
            if points:
                axes.plot(*zip(*points, strict=True), line, c=colour, label=label, marker=marker)
        for lines in axes.lines:
            lines.set_markersize(3.5)
        _epochs_axis(axes, history)
        axes.set_ylabel(metric)
        axes.legend()

    last = history[-1]
    ends = [
        f"{label} {last[key]:.4f}"
        for key, label in ((metric, "train"), (_VALIDATION + metric, "validation"))
        if key in last
    ]
    says = f"{metric} over {len(history)} epochs. After the last: {', '.join(ends)}."
    return drawn(draw, name=name, says=says)


def rates_chart(history: History, *, name: str) -> str | None:
    """The learning rate of every block in every epoch, or None where none was logged."""
    keys = list(dict.fromkeys(key for row in history for key in row if key.startswith(RATE)))
    rates = np.array([[row.get(key, 0.0) for row in history] for key in keys])
    if not rates.size or not rates.max() > 0:
        return None
    highest = float(rates.max())
    lowest = max(float(rates[rates > 0].min()), highest * _SMALLEST_RATE)
    rates[_ran_out(rates, history)] = lowest
    blocks = [key.removeprefix(RATE) for key in keys]

    def opacity(values: Any) -> Any:
        span = np.log(highest / lowest)
        share = np.log(np.maximum(values, lowest) / lowest) / span if span else np.ones_like(values)
        # Rounding may take the highest a last bit above 1.
        opaque = np.minimum(_FAINTEST + (1 - _FAINTEST) * share, 1.0)
        return np.where(np.asarray(values) > 0, opaque, 0.0)

    def draw(figure: Any) -> None:
        from matplotlib.patches import Patch

        axes = figure.subplots()
        image = np.empty((*rates.shape, 4))
        image[..., :3], image[..., 3] = HEAT, opacity(rates)
        start, end = history[0]["epoch"], history[-1]["epoch"]
        extent = (start - 0.5, end + 0.5, len(blocks) - 0.5, -0.5)
        axes.imshow(image, aspect="auto", interpolation="none", extent=extent)
        axes.grid(visible=False)
        axes.set_yticks(range(len(blocks)), blocks)
        for row, values in enumerate(rates):
            if not values.any():
                middle = (start + end) / 2
                axes.text(middle, row, "frozen", ha="center", va="center", fontsize=8)
        _epochs_axis(axes, history)
        steps = np.unique([float(f"{rate:.1e}") for rate in np.geomspace(lowest, highest, 4)])
        figure.legend(
            handles=[
                Patch(facecolor=(*HEAT, float(opacity(np.float64(rate)))), label=f"{rate:.1g}")
                for rate in steps
            ],
            loc="outside lower center",
            ncols=len(steps),
            handlelength=1,
            columnspacing=1,
        )

    frozen = [block for block, values in zip(blocks, rates, strict=True) if not values.any()]
    says = f"Learning rate of each block over {len(history)} epochs, at most {highest:.3g}. "
    says += f"Frozen throughout: {', '.join(frozen) or 'none'}."
    return drawn(draw, name=name, says=says, height=1.1 + _ROW_HEIGHT * len(blocks))


def _ran_out(rates: np.ndarray, history: History) -> np.ndarray:
    """Where a rate of 0 is the end of a schedule: the block trained until then in this phase."""
    found = np.zeros(rates.shape, dtype=bool)
    for epoch in range(1, len(history)):
        same_phase = history[epoch].get(PHASE) == history[epoch - 1].get(PHASE)
        trained = (rates[:, epoch - 1] > 0) | found[:, epoch - 1]
        found[:, epoch] = (rates[:, epoch] == 0) & trained & same_phase
    return found


def reliability_chart(curve: Reliability, *, name: str) -> str:
    """Accuracy by confidence, above the number of images in each bin."""
    edges = np.linspace(0, 1, len(curve.counts) + 1)
    filled = curve.counts > 0

    def draw(figure: Any) -> None:
        above, below = figure.subplots(2, sharex=True, height_ratios=(3, 1))
        width = edges[1] - edges[0]
        above.bar(
            edges[:-1][filled], curve.accuracy[filled], width, align="edge", color=FIRST, alpha=0.35
        )
        above.plot([0, 1], [0, 1], "--", color=INK, linewidth=1, label="as sure as right")
        above.plot(
            curve.confidence[filled],
            curve.accuracy[filled],
            "o-",
            color=FIRST,
            markersize=4,
            label="this model",
        )
        above.set(xlim=(0, 1), ylim=(0, 1.03), ylabel="accuracy")
        figure.legend(loc="outside upper center", ncols=2)
        below.bar(edges[:-1], curve.counts, width, align="edge", color=SECOND, alpha=0.6)
        below.set(xlabel="probability of the predicted class", ylabel="images")

    says = (
        f"Accuracy by confidence. The mean gap between the two, weighted by images, is "
        f"{curve.error:.4f}."
    )
    return drawn(draw, name=name, says=says, height=3.6)


def confusion_chart(confusion: np.ndarray, *, name: str) -> str:
    """The confusion matrix of many classes: the share of each true class, no numbers."""
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        image = np.empty((*shares.shape, 4))
        # The square root lets a rare confusion be seen.
        image[..., :3], image[..., 3] = HEAT, np.sqrt(shares)
        axes.imshow(image, interpolation="none")
        axes.grid(visible=False)
        axes.set(xlabel="predicted class, by number", ylabel="true class, by number")

    says = f"Confusion matrix of {len(confusion)} classes; the table of mistakes says the same."
    return drawn(draw, name=name, says=says, height=4.2)


def _epochs_axis(axes: Any, history: History) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    if len(history) == 1:
        axes.set_xticks([history[0]["epoch"]])
    for before, after in itertools.pairwise(history):
        if before.get(PHASE) != after.get(PHASE):
            axes.axvline(after["epoch"] - 0.5, color=FAINT, linewidth=1, linestyle=":")
