"""Batch norms that train, with mean and variance over the images of all processes.

Torch's own `SyncBatchNorm` does it on GPUs alone, and counts each image; here one that
stands in for none counts nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional

from kerastl.processes.share import Share


def batch_norm_arguments(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> dict[str, Any]:
    """As `torch.nn.functional.batch_norm` takes them."""
    return locals()


def refuse_moving_instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> None:
    """As `torch.nn.functional.instance_norm` takes them.

    Raises:
        ValueError: If moving statistics would part between the processes.
    """
    if use_input_stats and running_mean is not None:
        raise ValueError(
            "Blocks that several processes train must keep the moving statistics of their "
            "instance norms. Received: instance norms that renew them. Say batch_norm='frozen', "
            "freeze the block, or start one process."
        )


def batch_norm_of_all(share: Share, given: Mapping[str, Any]) -> Any:
    """A batch norm that trains, over the images of all processes.

    Args:
        share: What this process has of the batch.
        given: Arguments of `torch.nn.functional.batch_norm`; its moving statistics,
            where it has any, are renewed.

    Raises:
        ValueError: If there is one value per channel, in torch's own words.
    """
    images, eps = given["input"], given["eps"]
    mean, variance, count = _statistics(images.detach(), share)
    if count < 2:
        raise ValueError("Expected more than 1 value per channel when training.")
    with torch.no_grad():
        unbiased = variance * (count / (count - 1))
        for moving, found in ((given["running_mean"], mean), (given["running_var"], unbiased)):
            if moving is not None:
                moving.lerp_(found.to(moving.dtype), given["momentum"])
    out: torch.Tensor = _Normalized.apply(
        images, given["weight"], given["bias"], mean, variance, eps, count, share
    )
    return out


def _statistics(images: Any, share: Share) -> tuple[Any, Any, int]:
    """Mean, biased variance, `(channels,)`, and values per channel, of all processes."""
    dims = _other_dims(images)
    exact = images if images.dtype == torch.float64 else images.float()
    per_image = images[:1].numel() // images.shape[1]
    variance, mean = torch.var_mean(exact, dim=dims, correction=0)
    own = torch.stack([mean, variance, torch.full_like(mean, share.count * per_image)])
    parts = torch.stack(share.group.gather(own)).double()
    means, variances, counts = parts[:, 0], parts[:, 1], parts[:, 2]
    count = share.total * per_image
    all_mean = (means * counts).sum(0) / count
    squares = (variances + (means - all_mean) ** 2) * counts
    return all_mean.to(exact.dtype), (squares.sum(0) / count).to(exact.dtype), count


def _other_dims(images: Any) -> list[int]:
    return [0, *range(2, images.ndim)]


def _by_channel(values: Any, images: Any) -> Any:
    return values.reshape(1, -1, *[1] * (images.ndim - 2))


class _Normalized(torch.autograd.Function):
    """Normalize by statistics of all processes, which the gradients know of."""

    @staticmethod
    def forward(
        ctx: Any,
        images: Any,
        weight: Any,
        bias: Any,
        mean: Any,
        variance: Any,
        eps: float,
        count: int,
        share: Any,
    ) -> Any:
        ctx.save_for_backward(images, weight, mean, torch.rsqrt(variance + eps))
        ctx.has_bias, ctx.count, ctx.share = bias is not None, count, share
        return functional.batch_norm(images, mean, variance, weight, bias, eps=eps)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        images, weight, mean, scale = ctx.saved_tensors
        given = gradients[0].to(mean.dtype)
        centred = images.to(mean.dtype) - _by_channel(mean, images)
        dims = _other_dims(images)
        sums = given.sum(dims)
        products = (given * centred).sum(dims)
        of_weight = None if weight is None else (products * scale).to(weight.dtype)
        of_bias = sums.to(mean.dtype) if ctx.has_bias else None
        both = torch.stack([sums, products])
        ctx.share.group.add([both])
        if not ctx.share.count:  # it stands in for none: nothing goes by it
            return torch.zeros_like(images), of_weight, of_bias, None, None, None, None, None
        factor = scale if weight is None else scale * weight.to(scale.dtype)
        sums, products = both / ctx.count
        of_images = given - _by_channel(sums, images)
        of_images -= centred * _by_channel(products * scale**2, images)
        of_images *= _by_channel(factor, images)
        return of_images.to(images.dtype), of_weight, of_bias, None, None, None, None, None
