"""Multi-head and shifted-window attention."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from kerastl.blocks.bridge.call import Call, Weights, in_full
from kerastl.blocks.bridge.layouts import Value, plain
from kerastl.blocks.bridge.ops.activations import dropout
from kerastl.blocks.bridge.ops.convolutions import linear
from kerastl.blocks.bridge.ops.shapes import reshaped


def multi_head_attention(
    call: Call, weights: Weights, module: Any, query: Value, key: Value, value: Value
) -> Value:
    """Scaled dot-product attention in several heads (Vaswani et al., 2017).

    Args:
        call: The call.
        weights: Of the module.
        module: `nn.MultiheadAttention` with one embedding size for all.
        query: `(batch, positions, embedding)` where the module has its batch
            first, else `(positions, batch, embedding)`.
        key: Likewise.
        value: Likewise.
    """
    order = (0, 1, 2) if module.batch_first else (1, 0, 2)
    projected = []
    for index, given in enumerate((query, key, value)):
        rows = slice(index * module.embed_dim, (index + 1) * module.embed_dim)
        weight = plain(weights["in_proj_weight"].data[rows])
        bias = weights.get("in_proj_bias")
        part = None if bias is None else plain(bias.data[rows])
        tokens = linear(call, plain(given.standing(order)), weight, part)
        projected.append(_heads(tokens.data, module.num_heads))
    mixed = _attended(
        call, *projected, scale=module.head_dim**-0.5, rate=module.dropout, training=call.training
    )
    outputs = linear(call, plain(mixed), weights["out_proj.weight"], weights.get("out_proj.bias"))
    return plain(outputs.data) if module.batch_first else plain(ops.swapaxes(outputs.data, 0, 1))


def scaled_dot_product_attention(
    call: Call,
    query: Value,
    key: Value,
    value: Value,
    attn_mask: Value | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> Value:
    """Attention of `(..., positions, size)`."""
    if attn_mask is not None or is_causal:
        raise NotImplementedError("scaled_dot_product_attention with a mask")
    size = int(query.shape[-1])
    tensors = [call.computed(each.in_torch_order()) for each in (query, key, value)]
    scores = ops.matmul(tensors[0], ops.swapaxes(tensors[1], -1, -2))
    shares = plain(_softmax(scores * (size**-0.5 if scale is None else scale)))
    shares = dropout(call, shares, dropout_p, training=True)
    return plain(ops.matmul(shares.data, tensors[2]))


def shifted_window_attention(
    call: Call,
    input: Value,
    qkv_weight: Value,
    proj_weight: Value,
    relative_position_bias: Value,
    window_size: Sequence[int],
    num_heads: int,
    shift_size: Sequence[int],
    attention_dropout: float = 0.0,
    dropout: float = 0.0,
    qkv_bias: Value | None = None,
    proj_bias: Value | None = None,
    logit_scale: Value | None = None,
    training: bool = True,
) -> Value:
    """Attention within windows that a shift makes overlap (Liu et al., 2021; 2022).

    With `logit_scale` the scores are cosines, as in the second version.

    Args:
        call: The call.
        input: `(batch, height, width, channels)`.
        qkv_weight: `(3 * channels, channels)`.
        proj_weight: `(channels, channels)`.
        relative_position_bias: `(1, heads, positions, positions)`.
        window_size: Height and width of a window.
        num_heads: Heads.
        shift_size: Rows and columns that the windows are shifted by.
        attention_dropout: Rate on the attention.
        dropout: Rate on the output.
        qkv_bias: `(3 * channels,)`.
        proj_bias: `(channels,)`.
        logit_scale: `(heads, 1, 1)`, the logarithm of the factor on the cosines.
        training: Whether the dropouts are on.
    """
    from kerastl.blocks.bridge.ops.activations import dropout as drop

    images = input.in_torch_order()
    height, width, channels = (int(size) for size in input.shape[1:])
    window = int(window_size[0]), int(window_size[1])
    below, right = (-height) % window[0], (-width) % window[1]
    if below or right:
        images = ops.pad(images, [(0, 0), (0, below), (0, right), (0, 0)])
    padded = height + below, width + right
    shift = [0 if w >= size else s for s, w, size in zip(shift_size, window, padded, strict=True)]
    images = _rolled(images, [-s for s in shift])
    tokens = _windows(images, padded, window, channels)
    tokens = plain(reshaped(tokens, (-1, window[0] * window[1], channels)))
    # === Projections ===
    if logit_scale is not None and qkv_bias is not None:
        # The second version's keys have no bias.
        has_bias = np.repeat([1.0, 0.0, 1.0], channels)
        qkv_bias = plain(qkv_bias.data * ops.cast(has_bias, qkv_bias.data.dtype))
    projected = linear(call, tokens, qkv_weight, qkv_bias).data
    query, key, value = (_heads(part, num_heads) for part in ops.split(projected, 3, axis=-1))
    # === Scores ===
    if logit_scale is not None:
        scores = ops.matmul(_unit(query), ops.swapaxes(_unit(key), -1, -2))
        scores = scores * ops.cast(
            ops.exp(ops.minimum(logit_scale.data, math.log(100.0))), scores.dtype
        )
    else:
        scores = ops.matmul(query * (channels // num_heads) ** -0.5, ops.swapaxes(key, -1, -2))
    scores = scores + ops.cast(relative_position_bias.in_torch_order(), scores.dtype)
    if any(shift):
        scores = _masked(scores, _region_mask(padded, window, shift))
    shares = drop(call, plain(_softmax(scores)), attention_dropout, training)
    # === Output ===
    mixed = plain(_joined(ops.matmul(shares.data, value)))
    mixed = drop(call, linear(call, mixed, proj_weight, proj_bias), dropout, training)
    rows, columns = padded[0] // window[0], padded[1] // window[1]
    images = reshaped(mixed.data, (-1, rows, columns, *window, channels))
    images = reshaped(ops.transpose(images, (0, 1, 3, 2, 4, 5)), (-1, *padded, channels))
    return plain(_rolled(images, shift)[:, :height, :width, :])


def relative_position_bias(
    call: Call, table: Value, index: Value, window_size: Sequence[int]
) -> Value:
    """The bias of every pair of positions in a window, `(1, heads, positions, positions)`."""
    positions = int(window_size[0]) * int(window_size[1])
    bias = ops.take(table.in_torch_order(), ops.reshape(index.in_torch_order(), (-1,)), axis=0)
    bias = ops.reshape(bias, (positions, positions, -1))
    return plain(ops.expand_dims(ops.transpose(bias, (2, 0, 1)), 0))


def patch_merging_pad(call: Call, input: Value) -> Value:
    """Neighbours in two by two as channels; odd heights and widths get zeros."""
    images = input.in_torch_order()
    height, width = (int(size) for size in input.shape[-3:-1])
    if height % 2 or width % 2:
        images = ops.pad(images, [(0, 0), (0, height % 2), (0, width % 2), (0, 0)])
    corners = [images[:, row::2, column::2, :] for column in (0, 1) for row in (0, 1)]
    return plain(ops.concatenate(corners, axis=-1))


def _attended(
    call: Call, query: Any, key: Any, value: Any, *, scale: float, rate: float, training: bool
) -> Any:
    scores = ops.matmul(query * scale, ops.swapaxes(key, -1, -2))
    shares = dropout(call, plain(_softmax(scores)), rate, training)
    return _joined(ops.matmul(shares.data, value))


def _heads(tokens: Any, num_heads: int) -> Any:
    """`(batch, positions, channels)` -> `(batch, heads, positions, size)`."""
    _, positions, channels = ops.shape(tokens)
    split = reshaped(tokens, (-1, positions, num_heads, channels // num_heads))
    return ops.transpose(split, (0, 2, 1, 3))


def _joined(heads: Any) -> Any:
    """`(batch, heads, positions, size)` -> `(batch, positions, channels)`."""
    _, num_heads, positions, size = ops.shape(heads)
    return reshaped(ops.transpose(heads, (0, 2, 1, 3)), (-1, positions, num_heads * size))


def _softmax(scores: Any) -> Any:
    return ops.cast(ops.softmax(in_full(scores), axis=-1), scores.dtype)


def _unit(vectors: Any) -> Any:
    norm = ops.sqrt(ops.sum(ops.square(vectors), axis=-1, keepdims=True))
    return vectors / ops.maximum(norm, 1e-12)


def _rolled(images: Any, shift: Sequence[int]) -> Any:
    for axis, distance in enumerate(shift, 1):
        if distance:
            images = ops.roll(images, distance, axis=axis)
    return images


def _windows(images: Any, padded: tuple[int, int], window: tuple[int, int], channels: int) -> Any:
    """`(batch, height, width, channels)` -> `(batch, rows, columns, wh, ww, channels)`."""
    rows, columns = padded[0] // window[0], padded[1] // window[1]
    split = reshaped(images, (-1, rows, window[0], columns, window[1], channels))
    return ops.transpose(split, (0, 1, 3, 2, 4, 5))


def _masked(scores: Any, mask: np.ndarray) -> Any:
    """Scores `(batch * windows, heads, n, n)` plus a mask `(windows, n, n)`."""
    _, num_heads, positions, _ = ops.shape(scores)
    windows = len(mask)
    split = reshaped(scores, (-1, windows, num_heads, positions, positions))
    masked = split + ops.cast(mask[None, :, None], scores.dtype)
    return reshaped(masked, (-1, num_heads, positions, positions))


def _region_mask(
    padded: tuple[int, int], window: tuple[int, int], shift: Sequence[int]
) -> np.ndarray:
    """-100 between positions that the shift brought together from different regions."""
    regions = np.zeros(padded, "int64")
    count = 0
    for rows in _regions(window[0], shift[0]):
        for columns in _regions(window[1], shift[1]):
            regions[rows, columns] = count
            count += 1
    grid = regions.reshape(padded[0] // window[0], window[0], padded[1] // window[1], window[1])
    flat = grid.transpose(0, 2, 1, 3).reshape(-1, window[0] * window[1])
    return np.where(flat[:, None, :] != flat[:, :, None], -100.0, 0.0)


def _regions(window: int, shift: int) -> tuple[slice, slice, slice]:
    # A shift of 0 makes the last slice the whole axis and the one before it empty.
    return slice(0, -window), slice(-window, -shift), slice(-shift, None)
