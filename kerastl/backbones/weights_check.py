"""Tell files from names of weights, and check what a file holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kerastl.errors import WeightsError

_SHOWN = 8


def looks_like_file(weights: str) -> bool:
    """Whether a weights argument names a file and not a set of published weights."""
    if "_Weights." in weights:  # torchvision's own way to say it: ResNet18_Weights.IMAGENET1K_V1
        return False
    return bool(Path(weights).suffix) or Path(weights).name != weights or Path(weights).is_file()


def require_same(
    expected: Mapping[str, Any], received: Mapping[str, Any], *, origin: str, spec: str
) -> None:
    """Refuse weights that are not exactly the expected entries.

    Args:
        expected: The model's entries by name; each has a shape.
        received: Those of the file.
        origin: Where the weights come from, for the report.
        spec: The backbone, for the report.

    Raises:
        WeightsError: Naming the missing, unexpected and wrongly shaped entries.
    """
    shapes = [
        f"{entry} (file {tuple(received[entry].shape)}, model {tuple(value.shape)})"
        for entry, value in expected.items()
        if entry in received and tuple(received[entry].shape) != tuple(value.shape)
    ]
    found = (
        ("missing", [entry for entry in expected if entry not in received]),
        ("unexpected", [entry for entry in received if entry not in expected]),
        ("of another shape", shapes),
    )
    report = "; ".join(f"{len(names)} {what}: {_some(names)}" for what, names in found if names)
    if report:
        raise WeightsError(
            f"The weights in {origin} do not fit {spec}: {report}. Nothing was loaded. "
            "Use the file of this very model, or name the backbone that the file is of."
        )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
