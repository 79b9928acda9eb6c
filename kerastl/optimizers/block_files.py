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
    rates, states = optimizer.block_rates, optimizer.block_states
    done = int(_array(optimizer.updates_done))
    # A file has numbers only.
    name = np.frombuffer(type(optimizer).__name__.encode(), np.uint8)
    state = {"iterations": _array(optimizer.batches_seen), "class": name}
    if isinstance(optimizer.own_rate, keras.Variable):
        state["learning_rate"] = _array(optimizer.own_rate)
    state |= {"highest": np.asarray(rates.highest), "start": np.asarray(rates.began)}
    for block, rate in rates.by_block.items():
        if rate.schedule is not None:
            state[f"{block}:start"] = np.asarray(rate.began)
        state[f"{block}:rate"] = np.asarray(rate.factor)
    for block, made in states.of_block.items():
        steps = states.paused.get(block, done) - states.missed[block]
        state[f"{block}:0"] = np.asarray(steps)
        state |= {f"{block}:{number}": _array(v) for number, v in enumerate(made, 1)}
    shared = enumerate(optimizer.shared_variables())
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
    blocks = [block for block in optimizer.block_states.blocks if f"{block}:0" in found]
    if written != type(optimizer).__name__ or not _fits(optimizer, found, blocks):
        _warn(f"holds the state of another optimizer ({written}, or other options of it)")
        return
    before = {block: _own_updates(optimizer, block) for block in optimizer.block_states.of_block}
    optimizer.batches_seen.assign(found["iterations"])
    for block in blocks:
        before[block] = int(found[f"{block}:0"])
        for number, variable in enumerate(optimizer.block_states.of_block[block], 1):
            variable.assign(found[f"{block}:{number}"])
    for number, variable in enumerate(optimizer.shared_variables()):
        if f"shared:{number}" in found:
            variable.assign(found[f"shared:{number}"])
    optimizer.block_states.restart(int(_array(optimizer.updates_done)), before)
    said = []
    kept = [block for block in optimizer.block_states.of_block if block not in blocks]
    if kept:
        said.append(f"holds no optimizer state of {', '.join(kept)}, whose own stays")
    if not _load_rates(optimizer, found):
        said.append("holds the learning rates of other blocks, so that those of `compile` stay")
    if said:
        _warn(" and ".join(said), then="the weights and what else fits are loaded")


def _fits(optimizer: Any, found: Mapping[str, np.ndarray], blocks: list[str]) -> bool:
    """Whether every block's state is of the file's shapes; it is made where there is none."""
    for block in blocks:
        optimizer.add_state(block, int(_array(optimizer.updates_done)))
        shapes = [
            tuple(variable.shape) for variable in optimizer.block_states.of_block.get(block, ())
        ]
        saved: list[tuple[int, ...]] = []
        while f"{block}:{len(saved) + 1}" in found:
            saved.append(tuple(found[f"{block}:{len(saved) + 1}"].shape))
        if shapes != saved:
            return False
    return True


def _own_updates(optimizer: Any, block: str) -> int:
    states = optimizer.block_states
    return int(states.paused.get(block, int(_array(optimizer.updates_done))) - states.missed[block])


def _load_rates(optimizer: Any, found: Mapping[str, np.ndarray]) -> bool:
    """Take the rates, if the file has them for the same blocks, floats and schedules alike."""
    rates, states = optimizer.block_rates, optimizer.block_states
    is_variable = isinstance(optimizer.own_rate, keras.Variable)
    fits = is_variable == ("learning_rate" in found) and all(
        f"{block}:rate" in found and (rate.schedule is not None) == (f"{block}:start" in found)
        for block, rate in rates.by_block.items()
    )
    if not fits:
        now = int(_array(optimizer.batches_seen))
        rates.began = 0 if is_variable else now
        rates.by_block = {block: replace(r, began=now) for block, r in rates.by_block.items()}
        states.change()
        return False
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
        optimizer.own_rate.assign(found["learning_rate"])
    return True


def _warn(what: str, *, then: str = "the weights are loaded, the optimizer begins anew") -> None:
    warnings.warn(f"The file {what}: {then}.", stacklevel=4)


def _array(value: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(value))
