"""A torch module's `torch.fx` graph, run with `keras.ops`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx, nn

from kerastl.blocks.batch_norm import freeze_statistics, torch_norms
from kerastl.blocks.bridge.call import Call, Weights
from kerastl.blocks.bridge.layouts import Value, plain
from kerastl.blocks.bridge.table import MODULES, OPERATIONS
from kerastl.errors import ConversionError

# Functions of other packages may have the name of an entry and mean something else.
_PACKAGES = {"torch", "torchvision", "_operator", "builtins", "math"}


class _Tracer(fx.Tracer):
    """Leaves a buffer that is read in `forward` in the graph, as torch does with parameters."""

    proxy_buffer_attributes = True


class BridgedGraph:
    """A torch module as a function of `keras.ops`.

    The module is traced in inference and in training mode, and where it is
    asked for in training mode with frozen statistics, so that whatever its
    `forward` makes of `self.training` holds here too.

    Args:
        module: The torch module; its weights are not read.
        name: What to call it in errors.

    Raises:
        ConversionError: If an operation has no counterpart.
    """

    def __init__(self, module: nn.Module, *, name: str) -> None:
        self._name = name
        self._module = module
        # By whether it trains, and whether its batch norms renew their statistics.
        self._graphs = {mode: self._traced(*mode) for mode in ((False, False), (True, True))}

    def __call__(self, call: Call, inputs: Value, values: Mapping[str, Value]) -> Value:
        """Run the graph.

        Args:
            call: Mode, random numbers and type of the computation.
            inputs: What the module takes.
            values: Parameters and buffers by qualified name.
        """
        mode = (call.training, call.renews_statistics)
        if mode not in self._graphs:
            self._graphs[mode] = self._traced(*mode)
        module = self._graphs[mode]
        known = dict(values)
        results: dict[fx.Node, Any] = {}
        for node in module.graph.nodes:
            if node.op == "output":
                output: Value = results[node.args[0]]
                return output
            if node.op == "placeholder":
                results[node] = inputs
                continue
            try:
                results[node] = self._run(node, module, call, known, results)
            except (NotImplementedError, TypeError) as error:
                raise ConversionError(
                    f"Block {self._name!r} cannot be converted: {_described(node)} is supported "
                    f"only in part ({error}). Use the torch backend."
                ) from error
        raise ConversionError(f"Block {self._name!r} cannot be converted: it has no output.")

    def _traced(self, training: bool, renews_statistics: bool) -> fx.GraphModule:
        was_training = self._module.training
        self._module.train(training)
        if not renews_statistics:
            freeze_statistics(torch_norms(self._module))
        tracer = _Tracer()
        try:
            graph = tracer.trace(self._module)
        except Exception as error:
            raise ConversionError(
                f"Block {self._name!r} cannot be converted: torch.fx cannot trace it ({error}). "
                "Use the torch backend."
            ) from error
        self._module.train(was_training)
        traced = fx.GraphModule(tracer.root, graph)
        for node in graph.nodes:
            self._check(node, traced)
        return traced

    def _run(
        self,
        node: fx.Node,
        module: fx.GraphModule,
        call: Call,
        values: dict[str, Value],
        results: Mapping[fx.Node, Any],
    ) -> Any:
        args = fx.node.map_arg(node.args, results.__getitem__)
        kwargs = fx.node.map_arg(node.kwargs, results.__getitem__)
        if node.op == "get_attr":
            return _attribute(module, str(node.target), values)
        if node.op == "call_module":
            child = module.get_submodule(str(node.target))
            weights = Weights(str(node.target), values)
            return MODULES[type(child)](call, weights, child, *args, **kwargs)
        operation = OPERATIONS.get(_operation_name(node))
        of_sizes = node.op == "call_function" and not _has_value((args, kwargs))
        if of_sizes and _operation_name(node) != "_assert":
            return node.target(*args, **kwargs)  # type: ignore[operator]
        if operation is None:
            raise NotImplementedError(f"{_operation_name(node)} of tensors")
        return operation(call, *args, **kwargs)

    def _check(self, node: fx.Node, module: fx.GraphModule) -> None:
        if node.op == "call_module":
            module_type = type(module.get_submodule(str(node.target)))
            if module_type not in MODULES:
                supported = ", ".join(sorted(each.__name__ for each in MODULES))
                what = f"module {module_type.__name__}"
                raise self._unsupported(node, what, f"modules: {supported}")
        elif node.op in ("call_function", "call_method"):
            name = _operation_name(node)
            of_sizes = node.op == "call_function" and _may_be_of_sizes(node)
            if name not in OPERATIONS and not of_sizes:
                kind = "function" if node.op == "call_function" else "method"
                supported = ", ".join(sorted(OPERATIONS))
                raise self._unsupported(node, f"{kind} {name}", f"operations: {supported}")

    def _unsupported(self, node: fx.Node, what: str, supported: str) -> ConversionError:
        return ConversionError(
            f"Block {self._name!r} cannot be converted: {_described(node)} is the {what}, which is "
            f"not supported. Use the torch backend, or these {supported}."
        )


def _attribute(module: fx.GraphModule, path: str, values: Mapping[str, Value]) -> Value:
    if path in values:
        return values[path]
    owner, _, name = path.rpartition(".")
    constant: torch.Tensor = getattr(module.get_submodule(owner), name)
    return plain(constant.detach().cpu().numpy())


def _operation_name(node: fx.Node) -> str:
    """Name of the function or method, in place or not; a foreign one's with its package."""
    if isinstance(node.target, str):
        return node.target.rstrip("_") or node.target
    name = str(getattr(node.target, "__name__", node.target))
    package = str(getattr(node.target, "__module__", None) or "torch")
    if package.partition(".")[0] not in _PACKAGES:
        return f"{package}.{name}"
    return name.rstrip("_") or name


def _may_be_of_sizes(node: fx.Node) -> bool:
    """Whether a function may be arithmetic of sizes, which needs no entry in the table."""
    package = str(getattr(node.target, "__module__", None))
    return package in {"_operator", "math"}


def _has_value(arguments: Any) -> bool:
    if isinstance(arguments, dict):
        return any(_has_value(each) for each in arguments.values())
    if isinstance(arguments, list | tuple):
        return any(_has_value(each) for each in arguments)
    return isinstance(arguments, Value)


def _described(node: fx.Node) -> str:
    """Where a node is: its name, and the path of the module that it stands in."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path = str(node.target) if node.op == "call_module" else (stack[-1][0] if stack else "")
    return f"node {node.name!r}" + (f" in {path!r}" if path else "")
