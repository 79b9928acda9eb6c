"""scikit-learn's handwritten digits."""

from __future__ import annotations

import numpy as np

from kerastl.data.arrays import array_data
from kerastl.data.items import SourceData
from kerastl.data.specs import DataSpec

_BRIGHTEST = 16


def read_source(spec: DataSpec) -> SourceData:
    """The 1,797 digits of 8x8 pixels, their 17 grey levels spread over 0-255.

    They are the test set of the UCI "Optical Recognition of Handwritten
    Digits" data (Alpaydin and Kaynak, 1998).
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / _BRIGHTEST)).astype(np.uint8)
    return array_data(images, digits.target)
