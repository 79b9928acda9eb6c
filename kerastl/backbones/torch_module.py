"""Any torch module as a backbone: an instance, or `module:python.path:callable`."""

from __future__ import annotations

import copy
import importlib
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kerastl.backbones.base import Backbone, BackboneInfo, Preprocessing, Resizing
from kerastl.errors import own_modules

if TYPE_CHECKING:
    from torch import nn

SOURCE = "module"
_IMAGE_SIZE = 224


def list_names() -> tuple[str, ...]:
    """None: a module is named by its Python path."""
    return ()


def describe(name: str) -> BackboneInfo:
    """A module says nothing of itself before it is built."""
    return BackboneInfo(f"{SOURCE}:{name}", None, None, None, weights_on_disk=True)


def build(
    name: str, *, weights: str | None, image_size: int | None, arguments: Mapping[str, str]
) -> Backbone:
    """Call what `name` points to and cut the module it returns into blocks.

    Args:
        name: `python.path:callable`, such as `my_project.nets:small_resnet`.
        weights: A local file; "default" or None keep the module's own weights.
        image_size: Height and width, pixels. None: 224.
        arguments: Passed to the callable as strings.

    Raises:
        ValueError: If there is no such callable, or it returns no module.
    """
    from torch import nn

    path, _, attribute = name.partition(":")
    if not path or not attribute:
        raise ValueError(
            f"A module spec must read module:python.path:callable. Received: {SOURCE}:{name}."
        )
    try:
        target = getattr(importlib.import_module(path), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"Cannot import {attribute} from {path} ({error}). "
            "Check the path, and that the module is on PYTHONPATH or in this folder."
        ) from error
    own_modules.add(path)
    module = target if isinstance(target, nn.Module) else target(**arguments)
    return from_module(module, spec=f"{SOURCE}:{name}", weights=weights, image_size=image_size)


def from_module(
    module: Any,
    *,
    spec: str | None = None,
    weights: str | None = None,
    image_size: int | None = None,
    blocks: Mapping[str, str | Sequence[str]] | None = None,
) -> Backbone:
    """Cut a torch module into blocks.

    If its last layer with weights is an `nn.Linear`, that one is taken for the
    classifying layer and dropped.

    Args:
        module: An `nn.Module` that takes `(batch, 3, height, width)`, scaled
            with ImageNet's mean and deviation unless the classifier says
            otherwise, and gives one tensor. It is copied and never changed;
            what you do with it afterwards does not reach the classifier. A
            block whose parameters all are `requires_grad=False` is frozen.
        spec: How the module can be had again. None: only by passing it.
        weights: A local torch file, or None or "default" for its own weights.
        image_size: Height and width, pixels. None: 224.
        blocks: Block name -> path of the block's first module, or the paths
            of its modules, in forward order. None: one block per child.

    Raises:
        TypeError: If `module` is no torch module.
        ValueError: If it cannot be copied, traced or cut.
    """
    from torch import nn

    from kerastl.backbones import torch_cut
    from kerastl.backbones.weights import load_state, read_torch_file

    if not isinstance(module, nn.Module):
        raise TypeError(f"A backbone must be a torch.nn.Module. Received: {type(module).__name__}.")
    label = spec or f"{SOURCE}:{type(module).__name__}"
    module = _copied(module)
    classifier = _classifying_path(module)
    if weights is not None and weights.lower() != "default":
        ignored = (f"{classifier}.",) if classifier else ()
        load_state(module, read_torch_file(weights), ignored=ignored, origin=weights, spec=label)
    if blocks is None:
        parts = _cut_at_children(module, classifier)
    else:
        starts = {
            name: paths if isinstance(paths, str) else paths[0] for name, paths in blocks.items()
        }
        parts = torch_cut.split(module, torch_cut.BlockStarts(starts, classifier))
    return Backbone(
        spec=label,
        parts=parts,
        preprocessing=Preprocessing(),
        resizing=Resizing(256, _IMAGE_SIZE),
        image_size=image_size or _IMAGE_SIZE,
        can_reload=spec is not None,
        frozen=_frozen(parts, label),
    )


def _frozen(parts: Sequence[Any], label: str) -> tuple[str, ...]:
    """The parts whose parameters all are `requires_grad=False`; says which are only in part."""
    frozen, mixed = [], []
    for part in parts:
        trains = [parameter.requires_grad for parameter in part.network.parameters()]
        if trains and not any(trains):
            frozen.append(part.name)
        elif not all(trains):
            mixed.append(part.name)
    if mixed:
        warnings.warn(
            f"{label} has parameters with requires_grad=False in {', '.join(mixed)}, which has "
            "others that train: a block trains as a whole, or is frozen as a whole. Cut `blocks` "
            "where the freezing ends, or call `model.freeze(...)`.",
            stacklevel=2,
        )
    return tuple(frozen)


def _copied(module: nn.Module) -> nn.Module:
    """A copy of a module, without gradients.

    Raises:
        ValueError: If it cannot be copied.
    """
    try:
        made = copy.deepcopy(module)
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(
            "A backbone must be a module that `copy.deepcopy` can copy, since what you pass is "
            f"never changed. Received: {type(module).__name__} ({reason}). "
            "Remove what computes its weights anew, such as `torch.nn.utils.weight_norm`."
        ) from error
    for parameter in made.parameters():
        parameter.grad = None
    return made


def _classifying_path(module: nn.Module) -> str | None:
    """Path of the last layer with weights, where it is an `nn.Linear` in reach."""
    from torch import nn

    weighted = [
        (path, layer)
        for path, layer in module.named_modules()
        if any(True for _ in layer.parameters(recurse=False))
    ]
    if not weighted or not isinstance(weighted[-1][1], nn.Linear):
        return None
    path = weighted[-1][0]
    parents = [path.rsplit(".", depth)[0] for depth in range(1, path.count(".") + 1)]
    in_reach = all(isinstance(module.get_submodule(parent), nn.Sequential) for parent in parents)
    return path if path and in_reach else None


def _cut_at_children(module: nn.Module, classifier: str | None) -> list[Any]:
    """One block per child with weights; children that a skip connection joins share one."""
    from kerastl.backbones import torch_cut

    starts = torch_cut.child_starts(module, classifier)
    while True:
        try:
            return torch_cut.split(module, torch_cut.BlockStarts(starts, classifier))
        except torch_cut.CutError as error:
            names = list(starts)
            del starts[names[names.index(error.block) + 1]]
