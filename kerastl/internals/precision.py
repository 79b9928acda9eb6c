"""Types of what is never computed in half precision: pixels, probabilities, losses."""

from __future__ import annotations

from typing import Any

import keras


def at_least_float32(dtype: Any) -> str:
    """float64 for that type, else float32.

    `keras.backend.result_type` of Keras 3.15 makes float32 of float64 and float32.
    """
    return "float64" if keras.backend.standardize_dtype(dtype) == "float64" else "float32"
