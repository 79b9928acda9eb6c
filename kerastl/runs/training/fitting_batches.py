"""The largest batch that fits into memory in every phase of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kerastl.model.batch_sizes import BatchSize, fitting
from kerastl.runs.phases import Phase


def fitting_in_phases(
    model: Any, data: Any, phases: Sequence[Phase], *, begin: Callable[[Phase], None]
) -> BatchSize:
    """Try steps in each phase, on made-up pixels, so that no image is read and no order drawn.

    Args:
        model: The classifier, compiled.
        data: The images, in batches of the most that a step is to have.
        phases: The phases of the run.
        begin: Freezes what a phase freezes.
    """
    labels = data.labels("train")[: data.batch_size]
    shape = (len(labels), model.image_size, model.image_size, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    found = []
    for phase in phases:
        begin(phase)
        found.append(
            fitting(
                model,
                pixels,
                labels,
                most=data.batch_size,
                num_images=data.sizes["train"],
                trains=phase.epochs > 0,
            )
        )
    return min(found, key=lambda fits: fits.size)
