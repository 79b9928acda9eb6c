"""What optimizers do otherwise on torch: memory layout of their states, updates in one pass.

Keras 3.15 updates on torch by a chain of operations over all weights, each of
which reads and writes them whole. Torch's fused kernels do the same arithmetic
in one pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import torch


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


def fuse_updates(optimizer: keras.optimizers.Optimizer, kind: type) -> None:
    """Let a built SGD, Adam or AdamW update through torch's fused kernel.

    The numbers are Keras's, but for the order of roundings. Where the kernel
    does not serve, Keras's own update is called: nesterov, other devices than
    CPU and CUDA, a compiled step, weights of 16 bits, which kernels for CPUs
    have got wrong, or tensors of unlike type or layout, which they would take
    for alike.

    Args:
        optimizer: The optimizer; it is changed in place. Others stay as they are.
        kind: Its public class.
    """
    fused = _FUSED.get(kind)
    if fused is not None and not getattr(optimizer, "nesterov", False):
        optimizer._backend_update_step = _FusedUpdate(optimizer, *fused)


class _FusedUpdate:
    """In the place of an optimizer's `_backend_update_step`; a copy of it goes with a copy."""

    def __init__(
        self,
        optimizer: Any,
        states_of: Callable[[Any], list[Any]],
        update: Callable[..., None],
    ) -> None:
        self._optimizer = optimizer
        self._states_of = states_of
        self._update = update

    @torch.no_grad()
    def __call__(self, grads: Sequence[Any], variables: Sequence[Any], learning_rate: Any) -> None:
        optimizer = self._optimizer
        indices = [optimizer._get_variable_index(variable) for variable in variables]
        states = [[each[index].value for index in indices] for each in self._states_of(optimizer)]
        weights = [variable.value for variable in variables]
        if torch.compiler.is_compiling() or not _are_alike(weights, grads, *states):
            type(optimizer)._backend_update_step(optimizer, grads, variables, learning_rate)
        else:
            self._update(optimizer, weights, list(grads), states, learning_rate)
            # The kernels leave out what torch counts for every other change in place.
            torch.autograd.graph.increment_version(weights)


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
    step = (optimizer.iterations.value + 1).to(torch.float64)
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

_FUSED: dict[type, tuple[Callable[[Any], list[Any]], Callable[..., None]]] = {
    keras.optimizers.SGD: (_sgd_states, _sgd),
    keras.optimizers.Adam: (_adam_states, _adam),
    keras.optimizers.AdamW: (_adam_states, _adam),
}
