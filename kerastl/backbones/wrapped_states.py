"""State dicts inside checkpoints, and names that wrappers of a module have put a prefix before."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Container, Mapping
from typing import Any

from kerastl.internals.torch_modules import renamed_metadata

# In this order: what was trained, before its moving average.
_KEYS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "module",
    "weights",
    "params",
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "ema",
    "params_ema",
)

COMPILED = "_orig_mod."
"""What `torch.compile` puts before the names of a module, at any depth."""

_COUNTS = ("n_averaged",)
"""Entries of torch's `AveragedModel` that are no weights."""


def unwrapped(content: Any, path: str) -> Any:
    """The state dict in what a checkpoint holds, which may be a dict in a dict.

    Args:
        content: What the file holds.
        path: The file, for what is said where it holds several.
    """
    while isinstance(content, Mapping):
        found = [key for key in _KEYS if isinstance(content.get(key), Mapping) and content[key]]
        if not found:
            return content
        if len(found) > 1:
            others = " and ".join(f"`{key}`" for key in found[1:])
            warnings.warn(
                f"The weights file {path} holds several sets of weights: `{found[0]}` is taken, "
                f"{others} is not. Save the others as a file of their own to load them.",
                stacklevel=2,
            )
        content = content[found[0]]
    return content


def with_own_names(state: Any, own: Container[str], *, origin: str) -> Any:
    """A state dict without the prefix that wrappers put before all its names.

    `DataParallel` puts `module.` there, a module that holds the network `model.`
    or any other name, and `torch.compile` `_orig_mod.`. Names that are the
    module's own stay as they are.

    Args:
        state: Tensor by name.
        own: The module's names.
        origin: Where the state comes from, for what is said.

    Returns:
        The same state dict, or another that has the version numbers of its modules.
    """
    names = [name for name in state if name not in _COUNTS]
    best, prefix = {name: name for name in names}, ""
    matched = sum(name in own for name in names)
    shorter, so_far = {name: name.replace(COMPILED, "") for name in names}, ""
    while names:
        fitting = sum(name in own for name in shorter.values())
        if fitting > matched and len(set(shorter.values())) == len(names):
            best, matched, prefix = dict(shorter), fitting, so_far
        shared = _first_part(list(shorter.values()))
        if shared is None:
            break
        so_far += shared
        shorter = {name: value[len(shared) :] for name, value in shorter.items()}
    if all(name == value for name, value in best.items()):
        return state
    is_compiled = any(COMPILED in name for name in names)
    taken = [each for each in (COMPILED if is_compiled else "", prefix) if each]
    said = " and ".join(f"`{each}`" for each in taken)
    warnings.warn(
        f"The names in {origin} stand behind {said}, which is no part of the model's: it was "
        "taken off.",
        stacklevel=2,
    )
    made = OrderedDict((best[name], state[name]) for name in names)
    renamed_metadata(made, state, lambda path: path.replace(COMPILED, "")[len(prefix) :])
    return made


def _first_part(names: list[str]) -> str | None:
    """The first part of all names, with its point; None where they have none in common."""
    part, point, _ = names[0].partition(".")
    shared = part + point
    return shared if point and all(name.startswith(shared) for name in names) else None
