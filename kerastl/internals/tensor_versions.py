"""Whether torch tensors have changed (seen with torch 2.14)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def version_of(tensor: Any) -> int:
    """Torch's count of changes in place: all but those by `tensor.data`, and of batch norm.

    Autograd keeps it as `_version`, which has no public name.
    """
    return int(tensor._version)


def norms(tensors: Sequence[Any]) -> list[float]:
    """The 2-norm of each tensor of floats, all in one call.

    `torch._foreach_norm` is what `torch.nn.utils.get_total_norm` calls.
    """
    import torch

    floats = [tensor.detach() for tensor in tensors if tensor.is_floating_point()]
    return torch.stack(torch._foreach_norm(floats)).tolist() if floats else []
