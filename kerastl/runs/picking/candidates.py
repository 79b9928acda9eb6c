"""Which backbones are tried: those whose weights are at hand, those named, or a short list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from kerastl.backbones.registry import describe, list_backbones
from kerastl.errors import unknown_name
from kerastl.runs.picking.results import LeftOut

DEFAULT_WEIGHTS = "default"
CURATED_NAME = "curated"
_WILD = "*?["


@dataclass(frozen=True)
class Candidate:
    """A backbone to try.

    Attributes:
        spec: The backbone spec.
        weights: As `ImageClassifier` takes them.
    """

    spec: str
    weights: str = DEFAULT_WEIGHTS


@dataclass(frozen=True)
class Curated:
    """One of the backbones that are tried where no weights are at hand.

    Attributes:
        size: "small", "medium" or "large".
        spec: The backbone spec.
        reason: Why this one of its size; the numbers are torchvision's own.
    """

    size: str
    spec: str
    reason: str


CURATED = (
    Curated(
        "small",
        "torchvision:mobilenet_v3_large",
        "5.5 M parameters and 0.2 GFLOPs for 75.3 % on ImageNet: made for processors",
    ),
    Curated(
        "medium",
        "torchvision:convnext_tiny",
        "28.6 M parameters, 82.5 %: a plain network of convolutions, ahead of a ResNet-50 (80.9 %)",
    ),
    Curated(
        "large",
        "torchvision:convnext_base",
        "88.6 M parameters, 84.1 %: what is lost by a smaller one shows beside it",
    ),
)


def choose(
    backbones: Sequence[str] | None, weights: Mapping[str, str]
) -> tuple[list[Candidate], list[LeftOut]]:
    """The backbones to try, and those that a glob names but whose weights are elsewhere.

    Args:
        backbones: Specs, which are taken as they are, with arguments, and
            whose weights are downloaded where that is needed; globs over what
            `kerastl backbones` lists, of which those are taken whose weights
            are here; "curated" for the short list. None or empty: all whose
            weights are here, else the short list.
        weights: Of some specs, as `ImageClassifier` takes them.

    Raises:
        UnknownNameError: If a spec names no backbone, or a glob fits none.
    """
    left_out: list[LeftOut] = []
    specs: dict[str, None] = {}
    if backbones:
        for wanted in backbones:
            named, absent = _named(wanted, weights)
            specs |= dict.fromkeys(named)
            left_out += [LeftOut(spec, None, _ELSEWHERE) for spec in absent]
    elif not weights:
        at_hand = [spec for spec in list_backbones() if describe(spec).weights_on_disk]
        specs = dict.fromkeys(at_hand or [each.spec for each in CURATED])
    for spec in weights:
        describe(spec)
        specs[spec] = None
    left_out = [each for each in left_out if each.spec not in specs]
    return [Candidate(spec, weights.get(spec, DEFAULT_WEIGHTS)) for spec in specs], left_out


_ELSEWHERE = "its weights are not on this machine; name it in full to have them downloaded"


def _named(wanted: str, weights: Mapping[str, str]) -> tuple[list[str], Iterable[str]]:
    """What one entry of `backbones` names: specs to try, and specs to leave out."""
    if wanted == CURATED_NAME:
        return [each.spec for each in CURATED], []
    if "*" not in wanted and _is_spec(wanted):
        return [wanted], []
    if not any(mark in wanted for mark in _WILD):
        describe(wanted)  # says what is close to it
    found = [spec for spec in list_backbones() if fnmatchcase(spec, wanted)]
    if not found:
        raise unknown_name(
            "backbone", wanted, list_backbones(), how_to_list="`kerastl backbones` lists all."
        )
    here = [spec for spec in found if spec in weights or describe(spec).weights_on_disk]
    return here, [spec for spec in found if spec not in here]


def _is_spec(wanted: str) -> bool:
    """Whether it names a backbone: the `?` of `keras:MobileNet?alpha=0.25` is in a glob too."""
    name = wanted.partition("?")[0]
    return name in list_backbones() or wanted.startswith("module:")
