"""Keep triton away from TensorFlow."""

from __future__ import annotations

import os
import sys


def keep_away_from_tensorflow() -> None:
    """Make triton look absent where TensorFlow is there or will be.

    Both carry LLVM, and loading triton after TensorFlow ends the process
    without an exception (torch 2.15 with TensorFlow 2.21). Torch and torchvision
    try triton on import and do without it where it is absent. Next to
    TensorFlow, torch only builds the networks that are converted.
    """
    uses_tensorflow = "tensorflow" in sys.modules or os.environ.get("KERAS_BACKEND") == "tensorflow"
    if uses_tensorflow:
        sys.modules.setdefault("triton", None)  # type: ignore[arg-type]
