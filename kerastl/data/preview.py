"""Draw a contact sheet of augmented training images."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

_GAP = 4


def contact_sheet(data: Any, *, images: int = 6, epochs: int = 8) -> Image.Image:
    """A picture with a row for each image and a column for each epoch.

    Args:
        data: What `load_data` gives.
        images: Rows, at most; evenly spread over the training images.
        epochs: Columns.
    """
    dataset = data.train.dataset
    numbers = np.unique(np.linspace(0, len(dataset) - 1, images).astype(int))
    size = data.settings.image_size
    sheet = Image.new(
        "RGB", (epochs * (size + _GAP) - _GAP, len(numbers) * (size + _GAP) - _GAP), "white"
    )
    for column in range(epochs):
        dataset.epoch[0] = column
        for row, number in enumerate(numbers):
            sample = dataset[int(number)]
            if sample is not None:
                position = (column * (size + _GAP), row * (size + _GAP))
                sheet.paste(Image.fromarray(sample[0]), position)
    return sheet
