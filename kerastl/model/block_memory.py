"""What each block of a model keeps of an image for its gradients, on torch, block by block.

One block at a time needs far less memory than a step, so that what a step would
take can be computed where it does not fit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras

from kerastl.blocks.block import HEAD
from kerastl.internals import step_memory
from kerastl.optimizers.block_optimizer import rates_by_block, wrapped

_SIZE_STEP = 32
"""Image sizes are multiples of this, pixels: as often as most networks halve an image."""


@dataclass(frozen=True)
class BlockMemory:
    """The memory of a training step, by block.

    Attributes:
        weights: Bytes of the gradients, accumulated ones too, and the optimizer's state of each
            block, input side first.
        kept: Bytes that each keeps of an image.
        working: Bytes that the most demanding block takes of an image while it runs.
    """

    weights: Mapping[str, int]
    kept: Mapping[str, int]
    working: int

    def of(self, trained: list[str], *, images: float = 1) -> int:
        """Bytes of a step.

        Args:
            trained: Blocks that train.
            images: How many; a half where each takes half as much.
        """
        fixed = sum(self.weights[name] for name in trained)
        activations = sum(self.kept[name] for name in trained) + self.working
        return fixed + math.ceil(images * activations)


def measured_blocks(model: Any) -> BlockMemory:
    """Run one image through one block after the other.

    Args:
        model: A compiled classifier on torch.
    """
    import torch

    weight, trained = model.variables[0], model.trainable_blocks
    values: Any = keras.ops.zeros((1, model.image_size, model.image_size, 3))
    kept, working = dict.fromkeys(model.block_names, 0), 0
    owner = model.block_names[0]
    for layer in model.layers[1:]:
        owner = layer.name if layer.name in kept else owner
        values = _alone(values, needs_gradient=owner in trained)
        with torch.enable_grad(), step_memory.peak_of(weight) as peak:
            values = layer(values)
        kept[owner] += peak.kept
        working = max(working, peak.bytes)
    accumulates = wrapped(model.optimizer).gradient_accumulation_steps
    slots = (1 if accumulates else 2) + _state_per_weight(model)
    weights = {
        name: math.ceil(slots * step_memory.bytes_of(variables))
        for name, variables in model.variables_by_block.items()
    }
    return BlockMemory(weights, kept, working)


def smaller_ways(model: Any, memory: BlockMemory, limit: int, *, images: int = 1) -> dict[str, Any]:
    """What a step on the smallest batch would fit with: each by itself.

    Args:
        model: The classifier.
        memory: What was measured.
        limit: Bytes that a step may take.
        images: Of that batch.

    Returns:
        Of "image_size", pixels, "precision" and "freeze_through" those that help.
    """
    trained = list(model.trainable_blocks)
    found: dict[str, Any] = {}
    for size in range((model.image_size - 1) // _SIZE_STEP * _SIZE_STEP, 0, -_SIZE_STEP):
        if memory.of(trained, images=images * (size / model.image_size) ** 2) <= limit:
            found["image_size"] = size
            break
    is_whole = model.get_layer(model.block_names[0]).compute_dtype == "float32"
    if is_whole and memory.of(trained, images=images / 2) <= limit:
        found["precision"] = "mixed_bfloat16"
    for number, name in enumerate(trained[:-1], 1):
        if memory.of(trained[number:], images=images) <= limit:
            found["freeze_through"] = name
            break
    return found


def _alone(values: Any, *, needs_gradient: bool) -> Any:
    """What a block has given, without what led to it."""
    return keras.tree.map_structure(
        lambda value: value.detach().requires_grad_(needs_gradient), values
    )


def _state_per_weight(model: Any) -> float:
    """Bytes of the optimizer's state for each byte of weights, as it makes them for the head."""
    inner = wrapped(rates_by_block(model.optimizer))
    inner.bind(model.variables_by_block)
    inner.add_state(HEAD, 0)
    weights = step_memory.bytes_of(model.variables_by_block[HEAD])
    return step_memory.bytes_of(inner.state_of(HEAD)) / max(weights, 1)
