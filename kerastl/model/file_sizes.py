"""What a saved config would build, held against the weights beside it, before it is built.

A config is a few letters, whatever network it names: `num_classes` of a
billion, or a network of a hundred gigabytes. The weights in the same file say
how large the model was that wrote it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kerastl.backbones.registry import expected_parameters
from kerastl.model.archive import Archive, damaged

_HEAD = "layers/classification_head/"
_LARGEST_IMAGE = 10_000
# The published number has classifying layers that the file has not: nine tenths of VGG16.
_PUBLISHED_OVER_STORED = 10
_FEW = 10**6
_BYTES_PER_PARAMETER = 2  # half precision is the least that weights are kept in


def check_sizes(archive: Archive, file: Path) -> None:
    """Refuse a file whose config is of a larger model than its weights are.

    Args:
        archive: What the file says.
        file: Its path, for what is said.

    Raises:
        DamagedFileError: Naming the entry of the config.
    """
    config = archive.config["config"]
    size = config.get("image_size")
    if not _is_count(size) or size > _LARGEST_IMAGE:
        raise damaged(file, f"image_size={_short(size)}")
    _check_head(config, archive.shapes, file)
    _check_backbone(config, archive, file)


def _check_head(
    config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], file: Path
) -> None:
    hidden, num_classes = config.get("hidden_units", ()), config.get("num_classes")
    is_list = isinstance(hidden, list) and all(_is_count(units) for units in hidden)
    if not is_list or not _is_count(num_classes):
        raise damaged(file, f"num_classes={_short(num_classes)}, hidden_units={_short(hidden)}")
    stored: dict[str, list[tuple[int, ...]]] = {}
    for path, shape in shapes.items():
        if path.startswith(_HEAD) and "seed_generator" not in path:
            layer = path[len(_HEAD) :].rpartition("/vars/")[0]
            stored.setdefault(layer, []).append(shape)
    names = ["hidden/dense" + (f"_{number}" if number else "") for number in range(len(hidden))]
    for name, units in zip([*names, "logits"], [*hidden, num_classes], strict=True):
        if not any(shape and shape[-1] == units for shape in stored.get(name, ())):
            raise damaged(
                file, f"its config has {units} units in the head where its weights have others"
            )
    widest = max((max(shape, default=0) for found in stored.values() for shape in found), default=0)
    dense = config.get("dense", {})
    if not isinstance(dense, Mapping) or not all(isinstance(d, Mapping) for d in dense.values()):
        raise damaged(file, "`dense` must be an object of objects")
    for options in dense.values():
        rank = options.get("lora_rank")
        if rank is not None and (not _is_count(rank) or rank > widest):
            raise damaged(file, f"lora_rank={_short(rank)}")


def _check_backbone(config: Mapping[str, Any], archive: Archive, file: Path) -> None:
    spec = config.get("backbone")
    if not isinstance(spec, str):
        raise damaged(file, f"backbone={_short(spec)}")
    if not config.get("can_reload"):
        return
    expected = expected_parameters(spec, image_size=config["image_size"])
    stored = sum(
        math.prod(shape) for path, shape in archive.shapes.items() if path.startswith("layers/")
    )
    stored = min(stored, archive.size // _BYTES_PER_PARAMETER)
    if expected is not None and expected > _PUBLISHED_OVER_STORED * stored + _FEW:
        raise damaged(
            file,
            f"its config is of {spec} at {config['image_size']} pixels with about {expected:,.0f} "
            f"parameters, and it holds {stored:,}",
        )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _short(value: Any) -> str:
    return re.sub(r"(?s)(.{60}).+", r"\1...", repr(value))
