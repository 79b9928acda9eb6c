"""Parts of torch modules, and of their Keras variables, that have no public name.

Seen with torch 2.14 and Keras 3.15.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


def set_buffer(module: nn.Module, name: str, tensor: torch.Tensor) -> None:
    """Put another tensor in a buffer's place.

    `setattr` takes no tensor that is a view of a parameter's memory.

    Args:
        module: The module.
        name: Qualified name of the buffer.
        tensor: What it is from now on.
    """
    owner, _, attribute = name.rpartition(".")
    module.get_submodule(owner)._buffers[attribute] = tensor


def has_one_embedding_size(attention: nn.MultiheadAttention) -> bool:
    """Whether queries, keys and values of an attention are of one width."""
    return bool(attention._qkv_same_embed_dim)


def keep_metadata(state: Any, other: Any) -> None:
    """Give a state dict the version numbers of modules that another one has."""
    if hasattr(other, "_metadata"):
        state._metadata = other._metadata


def renamed_metadata(state: Any, other: Any, rename: Callable[[str], str]) -> None:
    """Give a state dict the version numbers that another one has, under other paths."""
    if hasattr(other, "_metadata"):
        # A path has no point at its end, a prefix does.
        state._metadata = {
            rename(f"{path}.").rstrip("."): versions for path, versions in other._metadata.items()
        }


def holds_own_tensor(variable: Any) -> bool:
    """Whether a Keras variable's value is its own tensor.

    It is another in a stateless call, and a meta tensor in a symbolic one.
    """
    return variable.value is variable._value
