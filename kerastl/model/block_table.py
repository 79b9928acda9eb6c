"""The rows of `kerastl blocks`: every block of a backbone, counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from kerastl.model.classifier import ImageClassifier


@dataclass(frozen=True)
class BlockRow:
    """One row of `kerastl blocks`.

    Attributes:
        name: Name of the block.
        layers: Its layers, counted by type.
        num_parameters: Parameters; moving statistics do not count.
        output_shape: `(height, width, channels)`, `(tokens, channels)` or
            `(features,)`, without the batch.
    """

    name: str
    layers: str
    num_parameters: int
    output_shape: tuple[int, ...]


def block_table(spec: str, image_size: int | None = None) -> tuple[BlockRow, ...]:
    """Every block of a backbone, built with random weights.

    Args:
        spec: Backbone spec.
        image_size: Height and width, pixels. None: the backbone's own.

    Raises:
        UnknownNameError: If the spec names no backbone.
        ValueError: If the backbone cannot take the size.
    """
    model = ImageClassifier(spec, num_classes=2, weights=None, image_size=image_size)
    rows = []
    for block in model.blocks[:-1]:
        output = block.layers[0].output
        shape = output[0].shape if isinstance(output, list) else output.shape
        rows.append(
            BlockRow(
                block.name,
                _counted(block.layers[0].layer_counts()),
                block.num_parameters,
                tuple(shape[1:]),
            )
        )
    return tuple(rows)


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())
