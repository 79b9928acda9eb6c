"""Fold batch norms into the convolutions before them, for inference."""

from __future__ import annotations

import copy

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class _Tracer(fx.Tracer):
    """Leaves convolutions whole that say a batch norm can be folded into them."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return _takes_batch_norm(m) or super().is_leaf_module(m, module_qualified_name)


def folded(module: nn.Module) -> nn.Module:
    """The same function in inference mode, with fewer operations.

    A module that `torch.fx` cannot trace comes back as a plain copy.

    Args:
        module: Any module; it is left as it was.

    Returns:
        A copy in inference mode without gradients; it shares no memory with
        the module.
    """
    clone = copy.deepcopy(module).eval().requires_grad_(False)
    try:
        traced = fx.GraphModule(clone, _Tracer().trace(clone))
    except Exception:  # whatever a foreign forward raises under tracing
        return clone
    modules = dict(traced.named_modules())
    called = [node.target for node in traced.graph.nodes if node.op == "call_module"]
    # Convolutions and norms whose weights are used by other operations too stay as they are.
    read = {
        str(node.target).rpartition(".")[0] for node in traced.graph.nodes if node.op == "get_attr"
    }
    for norm_node in list(traced.graph.nodes):
        pair = _pair(norm_node, modules)
        if pair is None or any(
            called.count(each.target) > 1 or each.target in read for each in (norm_node, pair)
        ):
            continue
        convolution, norm = modules[str(pair.target)], modules[str(norm_node.target)]
        fused = fuse_conv_bn_eval(convolution, norm)
        owner, _, name = str(pair.target).rpartition(".")
        setattr(modules[owner], name, fused)
        norm_node.replace_all_uses_with(pair)
        traced.graph.erase_node(norm_node)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced.requires_grad_(False)


def _pair(node: fx.Node, modules: dict[str, nn.Module]) -> fx.Node | None:
    """The convolution whose output goes into this batch norm and nowhere else."""
    if node.op != "call_module" or type(modules[str(node.target)]) not in _BATCH_NORMS:
        return None
    norm = modules[str(node.target)]
    before = node.args[0] if node.args else None
    if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) > 1:
        return None
    has_statistics = isinstance(norm.running_mean, torch.Tensor)
    return before if has_statistics and _takes_batch_norm(modules[str(before.target)]) else None


def _takes_batch_norm(module: nn.Module) -> bool:
    """Whether it is linear in weight and bias; a class derived from a convolution has to say so."""
    return type(module) in _CONVOLUTIONS or getattr(module, "takes_batch_norm", False) is True
