"""What the batch norms of a block that trains do with their moving statistics.

In a frozen block they always use and keep them. In a block that trains:

- "train": normalize by the batch and renew the statistics, as torch does in
  `train()` and Keras under `training=True`.
- "frozen": normalize by the moving statistics and keep them, as torch does with
  these modules in `eval()`. Scales and shifts train all the same; dropout and
  stochastic depth stay on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kerastl.blocks.block import unknown_block
from kerastl.errors import unknown_name

TRAIN = "train"
FROZEN = "frozen"
MODES = (TRAIN, FROZEN)


def modes_by_block(given: Any, blocks: Sequence[str]) -> dict[str, str]:
    """The mode of each block that is named: all of them by a mode alone.

    Args:
        given: "train", "frozen", or a dict of block name to either.
        blocks: Every block, input side first.

    Raises:
        UnknownNameError: If there is no such mode or block.
        TypeError: If `given` is neither text nor a dict.

    Example:

    >>> modes_by_block("frozen", ["stem", "layer1"])
    {'stem': 'frozen', 'layer1': 'frozen'}
    >>> modes_by_block({"stem": "frozen"}, ["stem", "layer1"])
    {'stem': 'frozen'}
    """
    if not isinstance(given, Mapping):
        return dict.fromkeys(blocks, _checked(given))
    for name in given:
        if name not in blocks:
            raise unknown_block(str(name), blocks)
    return {name: _checked(mode) for name, mode in given.items()}


def _checked(mode: Any) -> str:
    if not isinstance(mode, str):
        raise TypeError(
            "`batch_norm` must be 'train', 'frozen' or a dict of block name to either. "
            f"Received: batch_norm={mode!r}."
        )
    if mode not in MODES:
        raise unknown_name(
            "batch_norm", mode, MODES, how_to_list=f"It is one of {', '.join(MODES)}."
        )
    return mode


def given_modes(model: Any) -> str | dict[str, str]:
    """What `ImageClassifier(batch_norm=...)` takes to be as this model is, frozen blocks or not."""
    layers = [model.get_layer(name) for name in model.block_names]
    modes = {layer.name: layer.batch_norm for layer in layers if hasattr(layer, "batch_norm")}
    different = set(modes.values())
    return different.pop() if len(different) == 1 else modes


def set_modes(model: Any, modes: Mapping[str, str]) -> None:
    """Give blocks their mode; the head has no batch norm and takes any."""
    for name, mode in modes.items():
        layer = model.get_layer(name)
        if hasattr(layer, "batch_norm"):
            layer.batch_norm = mode


def mode_of(layer: Any) -> str | None:
    """What a block's batch norms do as it stands, or None where it has none."""
    if not getattr(layer, "has_moving_statistics", False):
        return None
    mode: str = layer.batch_norm if layer.trainable else FROZEN
    return mode


def torch_norms(network: Any) -> list[Any]:
    """The modules of a torch network that have running statistics.

    Known by their buffers `running_mean` and `running_var`: torch's batch norms and
    instance norms of every dimension, classes derived from them, and others like them.
    """
    return [
        module
        for module in network.modules()
        if not {"running_mean", "running_var"}.isdisjoint(
            name for name, _ in module.named_buffers(recurse=False)
        )
        # torchvision's, and detectron2's of the same name, renew nothing in any mode.
        and type(module).__name__ != "FrozenBatchNorm2d"
    ]


def freeze_statistics(norms: Sequence[Any]) -> None:
    """Put these modules alone into inference mode: dropout inside of one stays as it is."""
    for norm in norms:
        if norm.training:
            norm.training = False
