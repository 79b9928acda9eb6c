"""Images and labels from folders, TensorFlow Datasets, arrays and scikit-learn's digits.

Importing this package loads neither torch nor Keras; `load_data` does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from kerastl.data.specs import (
    DataSource,
    DataSpec,
    list_data_sources,
    parse_data_spec,
    suggested_image_size,
)

if TYPE_CHECKING:
    from kerastl.data.decoding import load_image
    from kerastl.data.files import image_files
    from kerastl.data.loading import ImageData, load_data

__all__ = [
    "DataSource",
    "DataSpec",
    "ImageData",
    "image_files",
    "list_data_sources",
    "load_data",
    "load_image",
    "parse_data_spec",
    "suggested_image_size",
]

_HOMES = {
    "ImageData": "kerastl.data.loading",
    "image_files": "kerastl.data.files",
    "load_data": "kerastl.data.loading",
    "load_image": "kerastl.data.decoding",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
