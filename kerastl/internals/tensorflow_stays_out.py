"""TensorFlow that is installed beside another backend is not imported for nothing.

Keras 3.15 asks `keras.src.utils.module_utils.tensorflow.available` for each value that it
writes into a file, in `serialization_lib`, to see whether it is one of TensorFlow's: that
imports it, which takes seconds and writes lines to stderr. Where nobody has imported
TensorFlow, no value is.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from keras.src.utils.module_utils import tensorflow


@contextlib.contextmanager
def without_importing_tensorflow() -> Iterator[None]:
    """Within the block, TensorFlow counts as not installed, unless it is imported already."""
    if "tensorflow" in sys.modules:
        yield
        return
    before, tensorflow._available = tensorflow._available, False
    try:
        yield
    finally:
        tensorflow._available = before
