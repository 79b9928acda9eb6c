"""What optimizers do otherwise on torch: memory layout of their states, updates in one pass.

Keras 3.15 updates on torch by a chain of operations over all weights, each of
which reads and writes them whole. Torch's fused kernels do the same arithmetic
in one pass.

Private names, seen in Keras 3.15.1 and torch 2.14: which updates are Keras's own
is known by `_parallel_update_step` and `_backend_update_step` of its classes for
torch; `torch._fused_sgd_` and `torch._fused_adam_` are what torch's own optimizers
call for `fused=True`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from keras import ops
from keras.src.backend.torch.optimizers import torch_adam, torch_sgd
from keras.src.backend.torch.optimizers.torch_parallel_optimizer import TorchParallelOptimizer


def follow_layout(states: Iterable[Any], weights: Iterable[Any]) -> None:
    """Give an optimizer's variables the memory layout of the convolution weights they are for.

    Torch adds tensors of one layout much faster than tensors of two. Values
    stay as they are.

    Args:
        states: Keras variables of an optimizer.
        weights: The Keras variables that it trains.
    """
    channels_last = {
        tuple(weight.shape)
        for weight in weights
        if len(weight.shape) == 4
        and weight.value.is_contiguous(memory_format=torch.channels_last)
        and not weight.value.is_contiguous()
    }
    for state in states:
        if tuple(state.shape) in channels_last:
            tensor = state.value
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)


def fused_update(kind: Any) -> Callable[..., bool] | None:
    """The update of an optimizer's class by torch's fused kernel, where there is one.

    The numbers are Keras's, but for the order of roundings. The function takes
    an optimizer, gradients, variables and the rate, and gives False, having
    done nothing, where the kernel does not serve: nesterov, other devices than
    CPU and CUDA, a compiled step, weights of 16 bits, which kernels for CPUs
    have got wrong, or tensors of unlike type or layout, which they would take
    for alike.

    Args:
        kind: A class of optimizers. One that has an update of its own has no kernel.
    """
    found = _FUSED.get(getattr(kind, "_parallel_update_step", None))
    if found is None or kind._backend_update_step is not _BY_LISTS:
        return None
    states_of, update = found

    @torch.no_grad()
    def fused(
        optimizer: Any, grads: Sequence[Any], variables: Sequence[Any], learning_rate: Any
    ) -> bool:
        if torch.compiler.is_compiling() or getattr(optimizer, "nesterov", False):
            return False
        places = optimizer._trainable_variables_indices
        indices = [places[id(variable)] for variable in variables]
        states = [[each[index].value for index in indices] for each in states_of(optimizer)]
        weights = [variable.value for variable in variables]
        if not _are_alike(weights, grads, *states):
            return False
        update(optimizer, weights, list(grads), states, learning_rate)
        # The kernels leave out what torch counts for every other change in place.
        torch.autograd.graph.increment_version(weights)
        return True

    return fused


def _are_alike(*lists: Sequence[torch.Tensor]) -> bool:
    """Whether all tensors have one type and device, and those of one index one order in memory.

    Types and devices that the kernels do not serve count as unlike.
    """
    first = lists[0][0]
    if first.device.type not in ("cpu", "cuda") or first.dtype not in _TYPES:
        return False
    for tensors in zip(*lists, strict=True):
        if any(t.dtype != first.dtype or t.device != first.device for t in tensors):
            return False
        if not all(t.is_contiguous() for t in tensors) and not all(
            t.ndim == 4 and t.is_contiguous(memory_format=torch.channels_last) for t in tensors
        ):
            return False
    return True


def _sgd_states(optimizer: Any) -> list[Any]:
    return [optimizer.momentums] if optimizer.momentum else []


def _sgd(
    optimizer: Any, weights: Any, grads: Any, states: Sequence[Any], learning_rate: Any
) -> None:
    rate = float(learning_rate)
    # Keras keeps `v = momentum * v - rate * grad` and adds it: a rate of -1 in torch's
    # terms, and a dampening that leaves `-rate` of the gradient.
    has_momentum = bool(states)
    torch._fused_sgd_(
        weights,
        grads,
        states[0] if has_momentum else [],
        weight_decay=0.0,
        momentum=optimizer.momentum,
        lr=-1.0 if has_momentum else rate,
        dampening=1 + rate if has_momentum else 0.0,
        nesterov=False,
        maximize=False,
        is_first_step=False,
    )


def _adam_states(optimizer: Any) -> list[Any]:
    states = [optimizer._momentums, optimizer._velocities]
    return [*states, optimizer._velocity_hats] if optimizer.amsgrad else states


def _adam(
    optimizer: Any, weights: Any, grads: Any, states: Sequence[Any], learning_rate: Any
) -> None:
    step = (ops.convert_to_tensor(optimizer.iterations) + 1).to(torch.float64)
    correction = torch.sqrt(1 - optimizer.beta_2**step) / (1 - optimizer.beta_1**step)
    # Keras corrects the rate instead of the moments, and adds epsilon to what is not
    # corrected: to torch, a step so late that nothing is corrected, with the corrected rate.
    late = torch.full((), 2.0**62, dtype=torch.float32, device=weights[0].device)
    rate = (learning_rate * correction).to(weights[0].device, torch.float32)
    torch._fused_adam_(
        weights,
        grads,
        states[0],
        states[1],
        states[2] if optimizer.amsgrad else [],
        [late] * len(weights),
        lr=rate,
        beta1=optimizer.beta_1,
        beta2=optimizer.beta_2,
        weight_decay=0.0,
        eps=optimizer.epsilon,
        amsgrad=bool(optimizer.amsgrad),
        maximize=False,
    )


_TYPES = (torch.float32, torch.float64)

_BY_LISTS = TorchParallelOptimizer._backend_update_step
_FUSED: dict[Any, tuple[Callable[[Any], list[Any]], Callable[..., None]]] = {
    torch_sgd.SGD._parallel_update_step: (_sgd_states, _sgd),
    torch_adam.Adam._parallel_update_step: (_adam_states, _adam),  # AdamW's too
}
