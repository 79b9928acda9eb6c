"""Cut a Keras model into named blocks along its functional graph."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import reduce
from typing import Any

from kerastl.backbones.base import BackbonePart
from kerastl.backbones.keras_table import Family
from kerastl.internals.keras_connections import operation_inputs, operation_name


def cut(network: Any, family: Family, spec: str) -> list[BackbonePart]:
    """One `keras.Model` per block, sharing the network's layers.

    Raises:
        ValueError: If the graph is not the one that the table was written for.
    """
    import keras

    (output,) = network.outputs
    order = _topological(output)
    patterns = list(family.blocks.values())
    if family.rule == "starts":
        dominators = _dominators(order)
        ends = [dominators[id(_matching(order, p, spec)[0])] for p in patterns[1:]]
    else:
        ends = [_matching(order, p, spec)[-1] for p in patterns[:-1]]
    parts: list[BackbonePart] = []
    inputs = list(network.inputs)
    for block, end in zip(family.blocks, [*ends, output], strict=True):
        outputs = [output] if end is output else _live(order, end)
        known = frozenset(id(tensor) for tensor in inputs)
        done = {id(tensor) for tensor in _topological(*outputs, stop=known)}
        if len(outputs) > family.tensors or id(network.inputs[0]) in done - known:
            raise ValueError(
                f"{spec}: block {block} must end in {family.tensors} tensor(s) and take its input "
                f"from the block before. Received: {len(outputs)} tensors. "
                "This version of Keras builds another graph; please report it."
            )
        part = keras.Model(_bare(inputs), _bare(outputs), name=block)
        parts.append(BackbonePart(block, part, input_layout="NHWC", output_layout="NHWC"))
        inputs = outputs
    return parts


def _bare(tensors: Sequence[Any]) -> Any:
    return tensors[0] if len(tensors) == 1 else list(tensors)


def _topological(*outputs: Any, stop: frozenset[int] = frozenset()) -> list[Any]:
    """Every tensor on the way to the outputs, sources first; none beyond `stop`."""
    order: dict[int, Any] = {}
    waiting = [(tensor, False) for tensor in outputs]
    while waiting:
        tensor, expanded = waiting.pop()
        if id(tensor) in order:
            continue
        if expanded:
            order[id(tensor)] = tensor
            continue
        waiting.append((tensor, True))
        if id(tensor) not in stop:
            waiting.extend((source, False) for source in operation_inputs(tensor))
    return list(order.values())


def _matching(order: Sequence[Any], pattern: str, spec: str) -> list[Any]:
    found = [tensor for tensor in order if re.match(pattern, operation_name(tensor))]
    if not found:
        raise ValueError(
            f"{spec}: a layer must match the pattern {pattern!r}. Received: none. "
            "This version of Keras names its layers otherwise; please report it."
        )
    return found


def _dominators(order: Sequence[Any]) -> dict[int, Any]:
    """For each tensor the last one before it that every path to it goes through."""
    dominator: dict[int, Any] = {}
    depth = {id(order[0]): 0}

    def common(one: Any, other: Any) -> Any:
        while one is not other:
            if depth[id(one)] < depth[id(other)]:
                one, other = other, one
            one = dominator[id(one)]
        return one

    for tensor in order[1:]:
        found = reduce(common, operation_inputs(tensor))
        dominator[id(tensor)] = found
        depth[id(tensor)] = depth[id(found)] + 1
    return dominator


def _live(order: Sequence[Any], end: Any) -> list[Any]:
    """The tensors on the way to `end`, itself first, that something later takes in."""
    done = {id(tensor) for tensor in _topological(end)}
    live = {id(end): end}
    for tensor in order:
        if id(tensor) not in done:
            sources = operation_inputs(tensor)
            live |= {id(source): source for source in sources if id(source) in done}
    return list(live.values())
