"""The way of an optimizer's state into files and back, under the names of the blocks.

A file holds `iterations` and `learning_rate`, and of each block `rate` or, of
a schedule, `start`, `0` (its own updates), and `1`, `2`, ... (its moments and
so on, in the order in which they were made).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from keras import ops

from kerastl.optimizers.old_state import from_old_file

_Arrays = dict[str, np.ndarray]


def saved_state(optimizer: Any) -> _Arrays:
    """What a file holds of an optimizer: see the module.

    Args:
        optimizer: A `RateByBlock`.
    """
    rates, states = optimizer._rates, optimizer._states
    done = int(_array(optimizer._updates))
    # A file has numbers only.
    name = np.frombuffer(type(optimizer).__name__.encode(), np.uint8)
    state = {"iterations": _array(optimizer._iterations), "class": name}
    if isinstance(optimizer._learning_rate, keras.Variable):
        state["learning_rate"] = _array(optimizer._learning_rate)
    state |= {"highest": np.asarray(rates.highest), "start": np.asarray(rates.began)}
    for block, rate in rates.by_block.items():
        if rate.schedule is not None:
            state[f"{block}:start"] = np.asarray(rate.began)
        state[f"{block}:rate"] = np.asarray(rate.factor)
    for block, made in states.of_block.items():
        steps = states.paused.get(block, done) - states.missed[block]
        state[f"{block}:0"] = np.asarray(steps)
        state |= {f"{block}:{number}": _array(v) for number, v in enumerate(made, 1)}
    shared = enumerate(states.shared(optimizer))
    return state | {f"shared:{number}": _array(variable) for number, variable in shared}


def load_state(optimizer: Any, store: Any) -> None:
    """Give an optimizer the state of a file: all of it that fits, or none.

    What is not taken is said in a warning.

    Args:
        optimizer: A `RateByBlock` that is bound to its blocks.
        store: What `saved_state` gave, also by an older kerastl.
    """
    found = {name: np.asarray(store[name]) for name in store.keys()}  # noqa: SIM118
    if "iterations" not in found:
        _warn("holds no optimizer state of kerastl's" if found else "holds no optimizer state")
        return
    if "class" not in found:
        found = from_old_file(optimizer, found)
    written = bytes(found["class"]).decode()
    blocks = [block for block in optimizer._states.blocks if f"{block}:0" in found]
    if written != type(optimizer).__name__ or not _fits(optimizer, found, blocks):
        _warn(f"holds the state of another optimizer ({written}, or other options of it)")
        return
    before = {block: _own_updates(optimizer, block) for block in optimizer._states.of_block}
    optimizer._iterations.assign(found["iterations"])
    for block in blocks:
        before[block] = int(found[f"{block}:0"])
        for number, variable in enumerate(optimizer._states.of_block[block], 1):
            variable.assign(found[f"{block}:{number}"])
    for number, variable in enumerate(optimizer._states.shared(optimizer)):
        if f"shared:{number}" in found:
            variable.assign(found[f"shared:{number}"])
    optimizer._states.restart(int(_array(optimizer._updates)), before)
    kept = [block for block in optimizer._states.of_block if block not in blocks]
    if kept:
        _warn(f"holds no optimizer state of {', '.join(kept)}", then="what these blocks had stays")
    _load_rates(optimizer, found)


def _fits(optimizer: Any, found: Mapping[str, np.ndarray], blocks: list[str]) -> bool:
    """Whether every block's state is of the file's shapes; it is made where there is none."""
    for block in blocks:
        optimizer._make_state(block, int(_array(optimizer._updates)))
        shapes = [tuple(variable.shape) for variable in optimizer._states.of_block.get(block, ())]
        saved: list[tuple[int, ...]] = []
        while f"{block}:{len(saved) + 1}" in found:
            saved.append(tuple(found[f"{block}:{len(saved) + 1}"].shape))
        if shapes != saved:
            return False
    return True


def _own_updates(optimizer: Any, block: str) -> int:
    states = optimizer._states
    return int(states.paused.get(block, int(_array(optimizer._updates))) - states.missed[block])


def _load_rates(optimizer: Any, found: Mapping[str, np.ndarray]) -> None:
    """Take the rates, where the file has them for the same blocks, floats and schedules alike."""
    rates, states = optimizer._rates, optimizer._states
    is_variable = isinstance(optimizer._learning_rate, keras.Variable)
    fits = is_variable == ("learning_rate" in found) and all(
        f"{block}:rate" in found and (rate.schedule is not None) == (f"{block}:start" in found)
        for block, rate in rates.by_block.items()
    )
    if not fits:
        _warn("holds the learning rates of other blocks", then="the rates of `compile` stay")
        now = int(_array(optimizer._iterations))
        rates.began = now
        rates.by_block = {block: replace(r, began=now) for block, r in rates.by_block.items()}
        states.change()
        return
    rates.by_block = {
        block: replace(
            rate,
            factor=float(found[f"{block}:rate"]),
            began=int(found.get(f"{block}:start", rate.began)),
        )
        for block, rate in rates.by_block.items()
    }
    rates.highest, rates.began = float(found["highest"]), int(found["start"])
    states.change()
    if is_variable:
        optimizer._learning_rate.assign(found["learning_rate"])


def _warn(what: str, *, then: str = "the optimizer begins anew") -> None:
    warnings.warn(f"The file {what}: the weights are loaded, {then}.", stacklevel=4)


def _array(value: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(value))
