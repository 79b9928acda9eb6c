"""Read, change, slice and concatenate shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from kerastl.blocks.bridge.call import Call, mean_of
from kerastl.blocks.bridge.layouts import Value, permuted, plain


def get_attribute(call: Call, input: Any, name: str) -> Any:
    """`shape` and `ndim` of a tensor."""
    if name == "shape":
        return input.shape
    if name in ("ndim", "T", "mT"):
        return input.ndim if name == "ndim" else permuted(input, _swapped(input.ndim, -1, -2))
    raise NotImplementedError(f"the attribute {name} of a tensor")


def size(call: Call, input: Value, dim: int | None = None) -> Any:
    """The sizes of all axes, or of one."""
    return input.shape if dim is None else input.shape[dim]


def dim(call: Call, input: Value) -> int:
    """Number of axes."""
    return input.ndim


def same(call: Call, input: Any, *args: Any, **kwargs: Any) -> Any:
    """What changes nothing here: `contiguous`, `clone`, `detach` of a constant."""
    return input


def reshape(call: Call, input: Value, *shape: Any) -> Value:
    """Another shape for the same numbers in torch's order."""
    wanted = list(shape[0]) if len(shape) == 1 and isinstance(shape[0], Sequence) else list(shape)
    return plain(reshaped(input.in_torch_order(), wanted))


def reshaped(tensor: Any, shape: Sequence[Any]) -> Any:
    """`ops.reshape`; the one size that only a run knows is left to it, the others stay known."""
    shape = list(shape)
    unknown = [index for index, size in enumerate(shape) if not isinstance(size, int)]
    if unknown and not any(isinstance(size, int) and size == -1 for size in shape):
        shape[unknown[0]] = -1
    return ops.reshape(tensor, shape)


def flatten(call: Call, input: Value, start_dim: int = 0, end_dim: int = -1) -> Value:
    """The axes from `start_dim` to `end_dim` as one."""
    start, end = start_dim % input.ndim, end_dim % input.ndim
    sizes = input.shape
    known = all(isinstance(size, int) for size in sizes[start : end + 1])
    merged: Any = -1
    if known:
        merged = 1
        for size_ in sizes[start : end + 1]:
            merged *= size_
    return plain(reshaped(input.in_torch_order(), [*sizes[:start], merged, *sizes[end + 1 :]]))


def permute(call: Call, input: Value, *dims: Any) -> Value:
    """The axes in another order."""
    order = dims[0] if len(dims) == 1 and isinstance(dims[0], Sequence) else dims
    return permuted(input, order)


def transpose(call: Call, input: Value, dim0: int, dim1: int) -> Value:
    """Two axes exchanged."""
    return permuted(input, _swapped(input.ndim, dim0, dim1))


def _swapped(ndim: int, first: int, second: int) -> list[int]:
    order = list(range(ndim))
    order[first], order[second] = order[second], order[first]
    return order


def unsqueeze(call: Call, input: Value, dim: int) -> Value:
    """A new axis of size 1."""
    return plain(ops.expand_dims(input.in_torch_order(), dim))


def squeeze(call: Call, input: Value, dim: Any = None) -> Value:
    """Without the axes of size 1, or those of them that are named."""
    sizes = input.shape
    named = range(input.ndim) if dim is None else [dim] if isinstance(dim, int) else dim
    gone = tuple(axis % input.ndim for axis in named)
    gone = tuple(axis for axis in gone if isinstance(sizes[axis], int) and sizes[axis] == 1)
    return plain(ops.squeeze(input.in_torch_order(), axis=gone)) if gone else input


def expand(call: Call, input: Value, *sizes: Any) -> Value:
    """Axes of size 1 repeated; -1 leaves an axis as it is."""
    wanted = list(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], Sequence) else list(sizes)
    own = (1,) * (len(wanted) - input.ndim) + input.shape
    shape = [
        old if isinstance(new, int) and new == -1 else new
        for new, old in zip(wanted, own, strict=True)
    ]
    return plain(ops.broadcast_to(input.in_torch_order(), shape))


def concatenate(call: Call, tensors: Sequence[Value], dim: int = 0) -> Value:
    """Tensors one after the other along an axis."""
    axes = max(tensors, key=lambda value: value.axes != tuple(range(value.ndim))).axes
    position = axes.index(dim % len(axes))
    return Value(ops.concatenate([value.standing(axes) for value in tensors], position), axes)


def stack(call: Call, tensors: Sequence[Value], dim: int = 0) -> Value:
    """Tensors one after the other along a new axis."""
    return plain(ops.stack([value.in_torch_order() for value in tensors], axis=dim))


def chunk(call: Call, input: Value, chunks: int, dim: int = 0) -> list[Value]:
    """At most `chunks` pieces along an axis, all but the last of one size."""
    total = int(input.shape[dim])
    return split(call, input, -(-total // chunks), dim)


def split(call: Call, input: Value, split_size: Any, dim: int = 0) -> list[Value]:
    """Pieces of these sizes along an axis."""
    total = int(input.shape[dim])
    if isinstance(split_size, int):
        ends = list(range(split_size, total, split_size))
    else:
        ends = [sum(split_size[: index + 1]) for index in range(len(split_size) - 1)]
    pieces = ops.split(input.data, ends, axis=input.position(dim)) if ends else [input.data]
    return [input.like(piece) for piece in pieces]


def get_item(call: Call, input: Any, index: Any) -> Any:
    """One of several values, or a part of a tensor."""
    if not isinstance(input, Value):
        return input[index]
    if isinstance(index, Value):
        return plain(ops.take(input.in_torch_order(), index.in_torch_order(), axis=0))
    parts = index if isinstance(index, tuple) else (index,)
    if any(isinstance(part, Value | list) for part in parts):
        raise NotImplementedError("an index of several tensors")
    return plain(input.in_torch_order()[index])


def mean(
    call: Call, input: Value, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Value:
    """Mean over axes, or over all."""
    return _reduced(mean_of, input, dim, keepdim)


def total(
    call: Call, input: Value, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Value:
    """Sum over axes, or over all."""
    return _reduced(ops.sum, input, dim, keepdim)


def largest(call: Call, input: Value, dim: Any = None, keepdim: bool = False) -> Value:
    """Largest value over axes, or of all."""
    return _reduced(ops.max, input, dim, keepdim)


def _reduced(function: Any, input: Value, dim: Any, keepdim: bool) -> Value:
    named = range(input.ndim) if dim is None else [dim] if isinstance(dim, int) else dim
    gone = {axis % input.ndim for axis in named}
    reduced = function(input.data, axis=tuple(input.positions(sorted(gone))), keepdims=keepdim)
    if keepdim:
        return input.like(reduced)
    left = [axis for axis in input.axes if axis not in gone]
    return Value(reduced, tuple(sorted(left).index(axis) for axis in left))


def pad(
    call: Call, input: Value, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Value:
    """Rows before and after the last axes, the last axis first, as torch lists them."""
    if mode != "constant":
        raise NotImplementedError(f"padding with mode {mode!r}")
    widths: list[Any] = [(0, 0)] * input.ndim
    for step in range(len(pad) // 2):
        widths[input.position(-1 - step)] = (pad[2 * step], pad[2 * step + 1])
    return input.like(ops.pad(input.data, widths, constant_values=value or 0.0))


def roll(call: Call, input: Value, shifts: Any, dims: Any) -> Value:
    """Rows pushed along axes, out at one end and in at the other."""
    pairs = zip(_listed(shifts), _listed(dims), strict=True)
    data = input.data
    for shift, axis in pairs:
        data = ops.roll(data, shift, axis=input.position(axis))
    return input.like(data)


def _listed(value: Any) -> Sequence[int]:
    return value if isinstance(value, Sequence) else [value]


def confirm(call: Call, condition: Any, message: str) -> None:
    """Torch's own check of a shape, where it can be checked."""
    if isinstance(condition, bool) and not condition:
        raise ValueError(message)


def cast_float(call: Call, input: Value) -> Value:
    """As float32."""
    return input.like(ops.cast(input.data, "float32"))
