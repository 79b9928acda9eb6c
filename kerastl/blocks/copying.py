"""A block's configuration, which has no network in it, and a copy of the block from that."""

from __future__ import annotations

from typing import Any

from kerastl.backbones.base import BackbonePart
from kerastl.internals.live import Live, target_of


def with_part(config: dict[str, Any], layer: Any) -> dict[str, Any]:
    """The configuration of a block's layer, with what its network can be copied from."""
    return {**config, "part": Live(f"the network of block {layer.name}", layer)}


def part_and_options(config: dict[str, Any]) -> tuple[BackbonePart, dict[str, Any]]:
    """A copy of the network that a configuration stands for, and the layer's other arguments.

    Raises:
        ValueError: If the configuration comes from a file.
    """
    options = dict(config)
    layer = target_of(options.pop("part"))
    if layer is None:
        raise ValueError(
            f"Block {options['name']!r} must be saved within its ImageClassifier. Received: a file "
            "of another model that has it. Save the ImageClassifier, or the weights alone."
        )
    del options["name"]
    part: BackbonePart = layer.copied_part()
    return part, options
