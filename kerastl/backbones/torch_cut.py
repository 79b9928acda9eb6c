"""Cut a torch module into named blocks along its `torch.fx` graph.

Only the containers on the way to a block's first module are opened. Everything
below stays the real torch module and runs as PyTorch runs it; what the graph
adds is the glue between them (flatten, relu, class token), which no table has
to repeat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from kerastl.backbones.base import BackbonePart, Layout

_SHAPE_ONLY = (nn.Dropout, nn.Flatten, nn.Identity)
_POOL_FUNCTIONS = (nn.functional.adaptive_avg_pool2d, torch.mean)
_FLATTEN_FUNCTIONS = (torch.flatten, torch.squeeze)


class _BlockTracer(fx.Tracer):
    """Opens only the modules that contain the start of a block."""

    def __init__(self, opened: set[str]) -> None:
        super().__init__()
        self._opened = opened

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return module_qualified_name not in self._opened


class CutError(ValueError):
    """More or fewer than one tensor leaves a block."""

    def __init__(self, message: str, *, block: str) -> None:
        super().__init__(message)
        self.block = block


@dataclass(frozen=True)
class BlockStarts:
    """Where each block of a module begins, as data.

    Attributes:
        starts: Block name -> path of the first module of the block, in
            forward order. What stands before the first one goes to the first.
        classifier: Path of the last classifying layer. None: the last
            `nn.Linear` of the graph, where it is the last layer with weights.
        inner_layout: Order of the axes of 4-D tensors between blocks.
    """

    starts: Mapping[str, str]
    classifier: str | None = None
    inner_layout: Layout = "NCHW"


def split(module: nn.Module, block_starts: BlockStarts) -> list[BackbonePart]:
    """Cut everything before the last classifying layer into named blocks.

    The dropout in front of the classifier goes with it. A global average
    pooling in front of it goes too, so that the head can pool its own way; any
    other layer stays.

    Args:
        module: The network; put into inference mode and otherwise unchanged.
        block_starts: Where the blocks begin.

    Returns:
        One part per block. Their modules are shared with `module`, under the
        same qualified names.

    Raises:
        ValueError: If the module cannot be traced, has no such path, or more
            than one tensor crosses a cut.
    """
    module.eval()
    paths = [*block_starts.starts.values()]
    if block_starts.classifier:
        paths.append(block_starts.classifier)
    graph = _trace(module, paths)
    last = _last_feature(module, graph, block_starts.classifier)
    nodes = _needed(graph, last)
    groups = _assign(nodes, block_starts.starts)
    return _build_parts(module, groups, last, block_starts.inner_layout)


def child_starts(module: nn.Module, classifier: str | None) -> dict[str, str]:
    """A block per child that has weights, in forward order.

    A module with a single such child is replaced by that child.

    Args:
        module: The network.
        classifier: Path of the layer to leave out, with all that follows it.

    Returns:
        Block name -> path of the child.

    Raises:
        ValueError: If nothing before the classifier has weights.
    """
    prefix = ""
    while True:
        parent = module.get_submodule(prefix[:-1])
        paths = [f"{prefix}{name}" for name, _ in parent.named_children()]
        graph = _trace(module, [*paths, *([classifier] if classifier else [])])
        nodes = _needed(graph, _last_feature(module, graph, classifier))
        called = [str(node.target) for node in nodes if node.op == "call_module"]
        first_call = {
            path: min(i for i, target in enumerate(called) if f"{target}.".startswith(f"{path}."))
            for path in paths
            if any(f"{target}.".startswith(f"{path}.") for target in called)
        }
        weighted = [
            path
            for path in sorted(first_call, key=first_call.__getitem__)
            if _has_weights(module.get_submodule(path))
        ]
        if not weighted:
            raise ValueError(
                f"A backbone must have layers with weights before its last nn.Linear. "
                f"Received: {type(module).__name__}. Pass `blocks` to say where they begin."
            )
        only = module.get_submodule(weighted[0])
        if len(weighted) > 1 or not isinstance(only, nn.Sequential):
            return {_block_name(path): path for path in weighted}
        prefix = f"{weighted[0]}."


def _block_name(path: str) -> str:
    name = path.rpartition(".")[2]
    return f"block{name}" if name.isdigit() else name


def _trace(module: nn.Module, paths: Sequence[str]) -> fx.Graph:
    known = dict(module.named_modules())
    for path in paths:
        if path not in known:
            raise ValueError(
                f"`blocks` must name modules of {type(module).__name__}. Received: {path!r}. "
                f"Its children: {', '.join(name for name, _ in module.named_children())}."
            )
    opened = {
        path.rsplit(".", depth)[0] for path in paths for depth in range(1, path.count(".") + 1)
    }
    try:
        return _BlockTracer(opened).trace(module)
    except Exception as error:
        raise ValueError(
            f"torch.fx cannot trace {type(module).__name__} ({error}). "
            "Pass an `nn.Sequential` of its blocks instead."
        ) from error


def _last_feature(module: nn.Module, graph: fx.Graph, classifier: str | None) -> fx.Node:
    """The node whose value enters the head."""
    classifying = _classifier_node(module, graph, classifier)
    if classifying is None:
        output = next(node for node in graph.nodes if node.op == "output")
        result = output.args[0]
        if not isinstance(result, fx.Node):
            raise ValueError(
                f"A backbone must return one tensor. Received: {type(module).__name__} returns "
                f"{type(result).__name__}. Wrap it in a module that returns the features."
            )
        return result
    end = _input_of(classifying)
    while end.op == "call_module" and isinstance(_submodule(module, end), nn.Dropout):
        end = _input_of(end)
    candidate = end
    while _only_reshapes(module, candidate):
        candidate = _input_of(candidate)
    return _input_of(candidate) if _is_global_average(module, candidate) else end


def _classifier_node(module: nn.Module, graph: fx.Graph, path: str | None) -> fx.Node | None:
    calls = [node for node in graph.nodes if node.op == "call_module"]
    if path is not None:
        return next(node for node in calls if node.target == path)
    with_weights = [node for node in calls if _has_weights(_submodule(module, node))]
    if with_weights and isinstance(_submodule(module, with_weights[-1]), nn.Linear):
        return with_weights[-1]
    return None


def _has_weights(module: nn.Module) -> bool:
    return any(True for _ in module.parameters())


def _submodule(module: nn.Module, node: fx.Node) -> nn.Module:
    return module.get_submodule(str(node.target))


def _input_of(node: fx.Node) -> fx.Node:
    return node.all_input_nodes[0]


def _only_reshapes(module: nn.Module, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(_submodule(module, node), _SHAPE_ONLY)
    if node.op == "call_function":
        return node.target in _FLATTEN_FUNCTIONS
    return node.op == "call_method" and node.target in ("flatten", "squeeze")


def _is_global_average(module: nn.Module, node: fx.Node) -> bool:
    """Whether the node averages height and width away, and nothing else."""
    if node.op == "call_module":
        pool = _submodule(module, node)
        return isinstance(pool, nn.AdaptiveAvgPool2d) and pool.output_size in (1, (1, 1))
    arguments: list[Any] = [*node.args[1:], *node.kwargs.values()]
    if node.op == "call_function" and node.target in _POOL_FUNCTIONS:
        return bool(arguments) and arguments[0] in (1, (1, 1), [1, 1], [2, 3], (2, 3))
    return node.op == "call_method" and node.target == "mean" and arguments[:1] == [[2, 3]]


def _needed(graph: fx.Graph, last: fx.Node) -> list[fx.Node]:
    """The nodes that `last` depends on, and the checks among them, in order."""
    wanted: set[fx.Node] = set()
    stack = [last]
    while stack:
        node = stack.pop()
        if node not in wanted:
            wanted.add(node)
            stack.extend(node.all_input_nodes)
    return [node for node in graph.nodes if node in wanted]


def _assign(nodes: Sequence[fx.Node], starts: Mapping[str, str]) -> list[tuple[str, list[fx.Node]]]:
    """Group nodes by block: a block runs until the first module of the next."""
    names = list(starts)
    groups: list[tuple[str, list[fx.Node]]] = [(names[0], [])]
    for node in nodes:
        if node.op == "placeholder":
            continue
        following = names[len(groups) :]
        if node.op == "call_module" and following:
            target = str(node.target)
            path = starts[following[0]]
            if target == path or target.startswith(path + "."):
                groups.append((following[0], []))
        groups[-1][1].append(node)
    if len(groups) < len(names):
        raise ValueError(
            f"`blocks` must be in forward order. Received: {', '.join(names)}. "
            f"Block {names[len(groups)]!r} does not begin after {groups[-1][0]!r}."
        )
    return groups


def _build_parts(
    module: nn.Module,
    groups: Sequence[tuple[str, list[fx.Node]]],
    last: fx.Node,
    inner_layout: Layout,
) -> list[BackbonePart]:
    parts = []
    entering = next(node for node in last.graph.nodes if node.op == "placeholder")
    for index, (name, nodes) in enumerate(groups):
        is_last = index == len(groups) - 1
        leaving = last if is_last else _crossing(name, nodes, groups[index + 1 :])
        network = _subgraph(module, nodes, entering, leaving)
        network.train(False)
        parts.append(
            BackbonePart(
                name,
                network,
                input_layout="NCHW" if index == 0 else inner_layout,
                output_layout="NCHW" if is_last else inner_layout,
            )
        )
        entering = leaving
    return parts


def _crossing(
    name: str, nodes: Sequence[fx.Node], later: Sequence[tuple[str, list[fx.Node]]]
) -> fx.Node:
    inside = set(nodes)
    used_later = {
        source
        for _, group in later
        for node in group
        for source in node.all_input_nodes
        if source in inside
    }
    earlier = {
        source
        for _, group in later
        for node in group
        for source in node.all_input_nodes
        if source not in inside and not any(source in group for _, group in later)
    }
    if len(used_later) != 1 or earlier:
        crossing = sorted(node.name for node in used_later | earlier)
        raise CutError(
            f"One tensor must leave block {name!r}. Received: {', '.join(crossing) or 'none'} "
            "cross the cut after it. Put the layers that a skip connection joins in one block.",
            block=name,
        )
    return used_later.pop()


def _subgraph(
    module: nn.Module, nodes: Sequence[fx.Node], entering: fx.Node, leaving: fx.Node
) -> fx.GraphModule:
    graph = fx.Graph()
    copies = {entering: graph.placeholder("inputs")}
    for node in nodes:
        copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(copies[leaving])
    return fx.GraphModule(module, graph, class_name="Block")
