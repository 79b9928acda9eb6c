"""The pictures of a search: accuracy against speed, and log-loss by block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kerastl.runs.picking.results import BEST, WITHIN_NOISE, CandidateScore, Recommendation
from kerastl.runs.report.drawing import FIRST, INK, SECOND, drawn

_ROOM = 1.25
_LONGEST_NAME = 20


def speed_chart(
    candidates: Sequence[CandidateScore], recommendation: Recommendation, *, name: str
) -> str:
    """Accuracy with its interval against milliseconds per image, numbered as in the table."""

    def draw(figure: Any) -> None:
        from matplotlib.ticker import NullFormatter, NullLocator, ScalarFormatter

        axes = figure.subplots()
        labelled = set()
        for number, each in enumerate(candidates, 1):
            good = each.standing in (BEST, WITHIN_NOISE)
            colour, marker = (FIRST, "o") if good else (SECOND, "s")
            words = "best, or within the noise of it" if good else "worse, or dropped"
            found = each.estimate
            axes.errorbar(
                [each.milliseconds],
                [100 * found.accuracy],
                [[100 * (found.accuracy - found.low)], [100 * (found.high - found.accuracy)]],
                color=colour,
                marker=marker,
                markersize=5,
                elinewidth=1,
                label=None if words in labelled else words,
            )
            labelled.add(words)
            axes.annotate(
                str(number),
                (each.milliseconds, 100 * found.accuracy),
                xytext=(5, 3),
                textcoords="offset points",
            )
            if is_chosen(each, recommendation):
                axes.plot(
                    [each.milliseconds],
                    [100 * found.accuracy],
                    "o",
                    markersize=12,
                    markerfacecolor="none",
                    markeredgecolor=INK,
                    linestyle="none",
                    label="recommended",
                )
        axes.set_xscale("log")
        speeds = [each.milliseconds for each in candidates]
        axes.set_xlim(min(speeds) / _ROOM, max(speeds) * _ROOM)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xticks(_ticks(min(speeds), max(speeds)))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.set(xlabel="milliseconds per image (faster is left)", ylabel="accuracy, %")
        figure.legend(loc="outside upper center", ncols=2)

    best = candidates[0]
    says = (
        f"Accuracy against milliseconds per image of {len(candidates)} candidates. The best is "
        f"{best.label} with {100 * best.estimate.accuracy:.1f} %; recommended is "
        f"{recommendation.spec} at {recommendation.image_size}."
    )
    return drawn(draw, name=name, says=says, height=3.4)


def blocks_chart(candidates: Sequence[CandidateScore], *, name: str) -> str | None:
    """The log-loss of a solved head behind each block; None where no candidate has it."""
    shown = [each for each in candidates if len(each.blocks) > 1]
    if not shown:
        return None

    def draw(figure: Any) -> None:
        every = figure.subplots(1, len(shown), squeeze=False)[0]
        for axes, each in zip(every, shown, strict=True):
            names = [block.name for block in each.blocks]
            losses = [block.estimate.loss for block in each.blocks]
            lowest = losses.index(min(losses))
            colours = [FIRST if number == lowest else SECOND for number in range(len(losses))]
            axes.barh(range(len(names)), losses, color=colours, height=0.7)
            axes.grid(visible=False, axis="y")
            axes.set_yticks(range(len(names)), names)
            axes.invert_yaxis()
            axes.set(xlabel="log-loss out of fold")
            axes.set_title(_short(each), fontsize=9)

    says = "; ".join(
        f"{each.label}: the log-loss is lowest behind "
        f"{min(each.blocks, key=lambda block: block.estimate.loss).name}"
        for each in shown
    )
    most = max(len(each.blocks) for each in shown)
    return drawn(draw, name=name, says=f"{says}.", height=0.9 + 0.2 * most)


def _short(candidate: CandidateScore) -> str:
    """Name and size, no wider than a picture of two has room for."""
    name = candidate.spec.partition(":")[2]
    name = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
    return f"{name} at {candidate.image_size}"


def is_chosen(candidate: CandidateScore, recommendation: Recommendation) -> bool:
    """Whether a candidate is the one that is recommended."""
    wanted = (recommendation.spec, recommendation.weights, recommendation.image_size)
    return (candidate.spec, candidate.weights, candidate.image_size) == wanted


def _ticks(lowest: float, highest: float) -> list[float]:
    """Two to six round numbers over a range that is drawn by its logarithm.

    Example:

    >>> _ticks(0.8, 2.1)
    [1.0, 2.0]
    >>> _ticks(1.1, 1.3)
    [1.1, 1.3]
    """
    steps = [m * 10.0**e for e in range(-3, 6) for m in (1, 2, 5)]
    inside = [step for step in steps if lowest / _ROOM <= step <= highest * _ROOM]
    return inside[:: -(-len(inside) // 6)] if len(inside) > 1 else [lowest, highest]
