"""A block's configuration, which has no network in it, and a copy of the block from that."""

from __future__ import annotations

from typing import Any

from kerastl.internals.live import Live, target_of


def config_with_part(config: dict[str, Any], layer: Any) -> dict[str, Any]:
    """The configuration of a block's layer, with what its network can be copied from."""
    part = Live(f"the network of block {layer.name}", layer)
    return {**config, "part": part, "batch_norm": layer.batch_norm}


def copied_block(kind: type, config: dict[str, Any]) -> Any:
    """A layer of a class, with a copy of the network that its configuration stands for.

    Raises:
        ValueError: If the configuration comes from a file.
    """
    options = dict(config)
    original = target_of(options.pop("part"))
    name, mode, trainable = (options.pop(key) for key in ("name", "batch_norm", "trainable"))
    if original is None:
        raise ValueError(
            f"Block {name!r} must be saved within its ImageClassifier. Received: a file of another "
            "model that has it. Save the ImageClassifier, or the weights alone."
        )
    layer = kind(original.copied_part(), **options)
    layer.batch_norm = mode
    layer.trainable = trainable  # of its variables too, which are there already
    return layer
