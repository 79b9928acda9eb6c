"""Load torch weights files, and report every entry that does not fit."""

from __future__ import annotations

import argparse
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kerastl.backbones.weights_check import require_same
from kerastl.backbones.weights_hash import check_hash
from kerastl.backbones.wrapped_states import unwrapped, with_own_names
from kerastl.errors import WeightsError
from kerastl.internals.torch_modules import keep_metadata

State = Mapping[str, torch.Tensor]
_SUFFIXES = (".pt", ".pth", ".safetensors")


def read_torch_file(path: str, *, is_published: bool = False) -> State:
    """Read a torch state dict or a safetensors file, without pickle's code.

    Args:
        path: A `.pt` or `.pth` file that `torch.save` wrote from a state dict,
            bare or under a key such as `state_dict` or `model`; or `.safetensors`.
        is_published: Whether its name is known to be a publisher's, as in `check_hash`.

    Returns:
        Tensor by name, on the CPU.

    Raises:
        WeightsError: If the file is absent, unreadable, or no state dict.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise WeightsError(f"`weights` must name a file that exists. Received: {path}.")
    if file.suffix not in _SUFFIXES:
        raise WeightsError(
            f"`weights` for a torch backbone must end in {', '.join(_SUFFIXES)}. Received: {path}. "
            "Keras files (.h5, .weights.h5) load into `keras:` backbones."
        )
    check_hash(file, is_published=is_published)
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        with torch.serialization.safe_globals([argparse.Namespace]):  # options beside the weights
            state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(
            f"Cannot read the weights file {path}: it is damaged, or holds more than tensors. "
            "Save it again with `torch.save(model.state_dict(), path)`."
        ) from error
    state = unwrapped(state, path)
    if not isinstance(state, Mapping) or not all(torch.is_tensor(v) for v in state.values()):
        raise WeightsError(
            f"The weights file {path} must hold a state dict (tensor by name). "
            "Save it with `torch.save(model.state_dict(), path)`."
        )
    return state


def load_state(
    module: nn.Module, state: State, *, ignored: Sequence[str] = (), origin: str, spec: str
) -> None:
    """Load a state dict, all of it or nothing.

    Args:
        module: The whole network, its classifying layer included.
        state: Tensor by name.
        ignored: Prefixes of entries that may be absent, surplus or of another
            shape: the classifying layers, which the head replaces.
        origin: Where the state comes from, for the report.
        spec: The backbone, for the report.

    Raises:
        WeightsError: Naming the missing, unexpected and wrongly shaped entries.
    """
    own = module.state_dict()
    state = with_own_names(state, own, origin=origin)
    kept: OrderedDict[str, Any] = OrderedDict(
        (_current_name(name), value)
        for name, value in state.items()
        if not name.startswith(tuple(ignored))
    )
    keep_metadata(kept, state)
    expected = {name: value for name, value in own.items() if not name.startswith(tuple(ignored))}
    # A count of batches is absent from files older than torch 0.4.1; inference
    # and momentum-based statistics do not read it.
    required = {
        name: value
        for name, value in expected.items()
        if name in kept or not name.endswith("num_batches_tracked")
    }
    require_same(required, kept, origin=origin, spec=spec)
    module.load_state_dict(kept, strict=False)


def _current_name(name: str) -> str:
    """DenseNet's published files say `norm.1` where the module says `norm1`."""
    return re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.", r"\1\2.", name)
