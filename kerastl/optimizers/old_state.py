"""State of optimizers in files by kerastl before its second wave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np


def from_old_file(optimizer: Any, found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The state of an old file as one of today would hold it.

    In old files each block has its rate as it was, its accumulators apart, and
    its own copy of what all share today.
    """
    name = np.frombuffer(type(optimizer).__name__.encode(), np.uint8)
    state = {"iterations": found["iterations"], "class": name}
    rates, states = optimizer.block_rates, optimizer.block_states
    floats = {
        block: float(found[f"{block}:rate"]) for block in rates.by_block if f"{block}:rate" in found
    }
    highest = max(floats.values(), default=0.0) or rates.highest
    starts = [int(found[f"{block}:start"]) for block in rates.by_block if f"{block}:start" in found]
    state |= {"highest": np.asarray(highest), "start": np.asarray(min(starts, default=0))}
    if isinstance(optimizer.own_rate, keras.Variable):
        state["learning_rate"] = np.asarray(highest)
    for block, rate in rates.by_block.items():
        if f"{block}:start" not in found:
            continue
        factor = floats[block] / highest if block in floats else rate.factor
        state[f"{block}:rate"] = np.asarray(factor)
        if rate.schedule is not None:
            state[f"{block}:start"] = found[f"{block}:start"]
    for block in states.blocks:
        if f"{block}:0" in found:
            optimizer.add_state(block, 0)
            state |= _state_of(optimizer, block, found)
    return state


def _state_of(optimizer: Any, block: str, found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    accumulators = {id(variable) for variable in getattr(optimizer, "_accumulated_gradients", ())}
    state = {f"{block}:0": found[f"{block}:0"]}
    moment = accumulator = 0
    for number, variable in enumerate(optimizer.block_states.of_block[block], 1):
        if id(variable) in accumulators:
            name, accumulator = f"{block}:accumulator{accumulator}", accumulator + 1
        else:
            moment += 1
            name = f"{block}:{moment}"
        if name in found:
            state[f"{block}:{number}"] = found[name]
    for number, _ in enumerate(optimizer.shared_variables()):
        state[f"shared:{number}"] = found[f"{block}:{moment + 1 + number}"]
    return state
