"""How much memory something takes at its peak: a device's by its allocator, else counted.

On a processor torch has no such count. Here every tensor that an operation
makes is counted from its first sight until its storage is freed, which leaves
out what an operation needs within itself. JAX and TensorFlow on a processor
are seen from without: by the memory of the process.

Private names, seen in torch 2.14: `torch.utils._python_dispatch.TorchDispatchMode`,
which shows each operation, of the backward pass too, and `torch.utils._pytree`.
"""

from __future__ import annotations

import contextlib
import gc
import math
import re
import threading
import traceback
import weakref
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any

import keras
import psutil

from kerastl.internals import heap

_SECONDS_BETWEEN_LOOKS = 0.001


class Peak:
    """The most memory that was taken within a block.

    Attributes:
        bytes: At most at one time, beyond what was held before.
        kept: At the end, beyond what was held before; 0 where that cannot be told from what
            the process holds for later.
    """

    bytes = 0
    kept = 0


@contextlib.contextmanager
def peak_of(where: Any, *, before: int | None = None) -> Iterator[Peak]:
    """Measure the memory that the block takes.

    Args:
        where: A weight of the model, a Keras variable.
        before: What the process held before the first of several blocks, as `process_bytes`
            gave it, so that what it keeps of one for the next counts. Tensors that are counted
            take more than their bytes: with this, the more of both counts. None: tensors alone
            are counted, where they are.
    """
    peak = Peak()
    backend = keras.backend.backend()
    if backend == "torch":
        device = where.value.device
        measured: Any = (
            _of_cuda(peak, device) if device.type == "cuda" else _of_tensors(peak, before)
        )
    elif _jax_device() is not None:
        measured = _of_jax(peak)
    elif _has_tensorflow_gpu():
        measured = _of_tensorflow(peak)
    else:
        measured = _of_process(peak, process_bytes() if before is None else before)
    with measured:
        yield peak


def process_bytes() -> int:
    """Main memory that this process holds, bytes."""
    return int(psutil.Process().memory_info().rss)


def free_bytes(where: Any) -> int | None:
    """What is free of the memory of a model's device.

    Args:
        where: A weight of the model, a Keras variable.

    Returns:
        Bytes. None: it computes in main memory, or the backend does not say.
    """
    if keras.backend.backend() == "torch" and where.value.device.type == "cuda":
        import torch

        device = where.value.device
        free, _ = torch.cuda.mem_get_info(device)
        # What torch holds for later is free for a step.
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + held)
    device = _jax_device()
    if device is not None:
        stats = device.memory_stats()
        return int(stats["bytes_limit"] - stats["bytes_in_use"])
    return None


def is_in_main_memory(where: Any) -> bool:
    """Whether a model computes in the machine's own memory.

    Args:
        where: A weight of the model, a Keras variable.
    """
    if keras.backend.backend() == "torch":
        return bool(where.value.device.type != "cuda")
    return _jax_device() is None and not _has_tensorflow_gpu()


def bytes_of(variables: Iterable[Any]) -> int:
    """What Keras variables take, bytes."""
    return sum(math.prod(variable.shape) * _width(variable.dtype) for variable in variables)


def release(error: BaseException | None = None) -> None:
    """Free what is no longer used.

    Args:
        error: What has been raised: the variables of the functions that it has left hold tensors.
    """
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            _clear(frame)
        error = error.__cause__ or error.__context__
    gc.collect()
    heap.trim()
    if keras.backend.backend() == "torch":
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _clear(frame: FrameType | None) -> None:
    """Drop the variables of a function that has ended, and of those that had called it.

    Keras 3.15 takes frames out of a traceback, which those that are left in it still hold.
    """
    while frame is not None:
        try:
            frame.clear()
        except RuntimeError:  # it is still running
            return
        frame = frame.f_back


def drop_gradients(model: Any) -> None:
    """Free the gradients that torch keeps with the weights after a step."""
    if keras.backend.backend() == "torch":
        model.zero_grad(set_to_none=True)


@contextlib.contextmanager
def _of_cuda(peak: Peak, device: Any) -> Iterator[None]:
    import torch

    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    try:
        yield
    finally:
        peak.bytes = torch.cuda.max_memory_allocated(device) - before
        peak.kept = torch.cuda.memory_allocated(device) - before


@contextlib.contextmanager
def _of_tensors(peak: Peak, before: int | None) -> Iterator[None]:
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_map

    known: dict[int, Any] = {}
    held = [0]

    def see(value: Any, *, is_new: bool) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        try:
            storage = value.untyped_storage()
        except NotImplementedError:  # a layout of a library's own
            return value
        number = id(storage)
        if number in known:
            return value
        size = storage.nbytes() if is_new else 0

        def forget(_: Any) -> None:
            known.pop(number, None)
            held[0] -= size

        known[number] = weakref.ref(storage, forget)
        held[0] += size
        peak.bytes = max(peak.bytes, held[0])
        return value

    class Counting(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            # What an operation is given is not new, nor is what it gives back of that.
            tree_map(lambda each: see(each, is_new=False), (args, kwargs))
            made = func(*args, **(kwargs or {}))
            return tree_map(lambda each: see(each, is_new=True), made)

    process = Peak()
    watching: Any = contextlib.nullcontext() if before is None else _of_process(process, before)
    try:
        with watching, Counting():
            yield
    finally:
        peak.bytes, peak.kept = max(peak.bytes, process.bytes), held[0]
        known.clear()


@contextlib.contextmanager
def _of_jax(peak: Peak) -> Iterator[None]:
    device: Any = _jax_device()
    before = device.memory_stats()["bytes_in_use"]
    try:
        yield
    finally:
        stats = device.memory_stats()
        # Its peak is of the whole process: a step that is below it counts as high as it.
        peak.bytes = max(stats["peak_bytes_in_use"] - before, 0)
        peak.kept = stats["bytes_in_use"] - before


@contextlib.contextmanager
def _of_tensorflow(peak: Peak) -> Iterator[None]:
    from tensorflow.config import experimental

    before = experimental.get_memory_info("GPU:0")["current"]
    experimental.reset_memory_stats("GPU:0")
    try:
        yield
    finally:
        info = experimental.get_memory_info("GPU:0")
        peak.bytes, peak.kept = info["peak"] - before, info["current"] - before


@contextlib.contextmanager
def _of_process(peak: Peak, before: int) -> Iterator[None]:
    done = threading.Event()

    def look() -> None:
        while True:
            peak.bytes = max(peak.bytes, process_bytes() - before)
            if done.wait(_SECONDS_BETWEEN_LOOKS):
                return

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _width(dtype: str) -> int:
    """Bytes of a number of a type, as in `float32`."""
    digits = re.search(r"\d+", dtype)
    return int(digits[0]) // 8 if digits else 1


def _jax_device() -> Any:
    """The device that JAX computes on, or None where that is the processor or another backend."""
    if keras.backend.backend() != "jax":
        return None
    import jax

    device = jax.devices()[0]
    return None if device.platform == "cpu" else device


def _has_tensorflow_gpu() -> bool:
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
