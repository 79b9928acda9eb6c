"""The processes that train together: one group over torch.distributed, and what they exchange.

With one process nothing is started or imported, and `current` gives None. Every
exchange has a time limit; where another process has ended, or does something
else, it is one sentence that says which.
"""

from __future__ import annotations

import atexit
import contextlib
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from enum import IntEnum
from typing import Any

from kerastl.errors import ProcessesError, sentence
from kerastl.processes.launch import launched
from kerastl.processes.watching import SILENT_FOR, Watch, connected, ended_sentence

TIMEOUT = timedelta(minutes=10)
"""The longest wait for other processes that are alive, as at a large file that one writes."""

BUCKET = 8 * 2**20
"""Numbers that are summed in one go."""


class Doing(IntEnum):
    """What processes say of themselves when they meet, so that a mix-up is told."""

    BEGINNING = 1
    TRAINING = 2
    EVALUATING = 3
    STOPPING = 4
    SHARING = 5


_WORDS = {
    Doing.BEGINNING: "begins `fit` or `evaluate`",
    Doing.TRAINING: "is at a batch of training",
    Doing.EVALUATING: "is at a batch of validation or test",
    Doing.STOPPING: "is at the end of a batch or an epoch",
    Doing.SHARING: "hands on what process 0 has",
}

Row = Sequence[int]
_NUMBERS = 3  # beside what a process does


class Group:
    """The processes that train together, and the place of this one.

    Args:
        rank: Number of this process, from 0.
        world_size: How many there are.
        watch: Signs of life; None where a script has started torch.distributed itself.

    Attributes:
        rank: As given.
        world_size: As given.
    """

    def __init__(self, rank: int, world_size: int, watch: Watch | None) -> None:
        self.rank = rank
        self.world_size = world_size
        self._watch = watch

    @property
    def is_first(self) -> bool:
        """Whether this process shows progress and writes files."""
        return self.rank == 0

    def meet(self, doing: Doing, *numbers: int) -> list[Row]:
        """Exchange up to three whole numbers with all processes that do the same.

        Args:
            doing: What this process does.
            *numbers: Its numbers.

        Returns:
            Those of each process, by rank.

        Raises:
            ProcessesError: If another process does something else, or has ended.
        """
        import torch

        own = torch.tensor([doing, *numbers, *[0] * (_NUMBERS - len(numbers))], dtype=torch.int64)
        rows: list[list[int]] = [row.tolist() for row in self.gather(own)]
        for rank, row in enumerate(rows):
            if row[0] != doing:
                raise ProcessesError(
                    f"All processes must do the same. Received: process {self.rank} "
                    f"{_WORDS[doing]}, process {rank} {_WORDS[Doing(row[0])]}. Call `fit` and "
                    "`evaluate` on all of them alike, and stop on all at the same batch."
                )
        return [row[1:] for row in rows]

    def gather(self, tensor: Any) -> list[Any]:
        """A tensor of each process, by rank; all have one shape and type."""
        import torch
        from torch import distributed

        gathered = [torch.empty_like(tensor) for _ in range(self.world_size)]
        with self._one_sentence():
            distributed.all_gather(gathered, tensor.contiguous())
        return gathered

    def add(self, tensors: Sequence[Any]) -> None:
        """Replace tensors by their sums over all processes, in buckets.

        Args:
            tensors: Alike in number, shapes and types on each process.
        """
        import torch
        from torch import distributed

        under_way = []
        with self._one_sentence():
            for bucket in _buckets(tensors):
                flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
                under_way.append((distributed.all_reduce(flat, async_op=True), flat, bucket))
            for work, flat, bucket in under_way:
                work.wait()
                sizes = [tensor.numel() for tensor in bucket]
                parts = flat.split(sizes)
                for tensor, part in zip(bucket, parts, strict=True):
                    tensor.copy_(part.view(tensor.shape))

    def hand_on(self, tensors: Sequence[Any]) -> None:
        """Give tensors the values that they have on process 0."""
        from torch import distributed

        self.meet(Doing.SHARING, len(tensors))
        with self._one_sentence():
            for tensor in tensors:
                whole = tensor.contiguous()
                distributed.broadcast(whole, 0)
                if whole is not tensor:
                    tensor.copy_(whole)

    def handed_on(self, value: Any, *, source: int = 0) -> Any:
        """A value of Python, or tensors in main memory, that one process has.

        Args:
            value: On that process the value; on the others anything.
            source: Which one.
        """
        from torch import distributed

        self.meet(Doing.SHARING)
        box = [value]
        with self._one_sentence():
            distributed.broadcast_object_list(box, source)
        return box[0]

    def texts(self, text: str) -> list[str]:
        """A text of each process, by rank."""
        import torch

        raw = text.encode()
        rows = self.meet(Doing.BEGINNING, len(raw))
        padded = torch.zeros(max(row[0] for row in rows), dtype=torch.uint8)
        padded[: len(raw)] = torch.frombuffer(bytearray(raw), dtype=torch.uint8)
        gathered = self.gather(padded)
        return [
            bytes(part[: row[0]].tolist()).decode()
            for part, row in zip(gathered, rows, strict=True)
        ]

    def agree(self, wanted: bool) -> bool:
        """Whether any process wants something: the same answer on all."""
        return any(row[0] for row in self.meet(Doing.STOPPING, int(wanted)))

    @contextlib.contextmanager
    def telling_failure(self) -> Iterator[None]:
        """Should the block raise an error, the others are told before this process ends."""
        if self._watch is not None:
            self._watch.tell_failure("")
        try:
            yield
        except Exception as error:
            # What the others have caused they know.
            if self._watch is not None and not isinstance(error, ProcessesError):
                self._watch.tell_failure(" ".join(sentence(error).split()))
            raise

    @contextlib.contextmanager
    def _one_sentence(self) -> Iterator[None]:
        watch = self._watch
        try:
            with watch.waiting() if watch is not None else contextlib.nullcontext():
                yield
        except RuntimeError as error:
            said = " ".join(str(error).split())
            found = None if watch is None else watch.culprit(SILENT_FOR + 10)
            raise ProcessesError(
                ended_sentence(found or f"torch.distributed says: {said}")
            ) from error


_group: Group | None = None
_alone = _apart = 0


def several() -> bool:
    """Whether a launcher has started several processes, and none of them is to act alone."""
    return launched().world_size > 1 and not _alone


def is_first() -> bool:
    """Whether this process writes files and shows progress."""
    return launched().rank == 0


def writes() -> bool:
    """Whether this process saves models: the first one, and one that has a folder of its own."""
    return is_first() or bool(_apart)


@contextlib.contextmanager
def writing_apart() -> Iterator[None]:
    """Within the block this process saves models whatever its rank: in a folder of its own."""
    global _apart
    _apart += 1
    try:
        yield
    finally:
        _apart -= 1


def current() -> Group | None:
    """The group that `start` has started, or None: one process, or one that acts alone."""
    return None if _alone else _group


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Within the block this process acts as if it were the only one.

    For what process 0 does by itself, as to evaluate or save a model, and for what each
    process does with all of the data.
    """
    global _alone
    _alone += 1
    try:
        yield
    finally:
        _alone -= 1


def start() -> Group | None:
    """The group of this process's launch, started once; None where it is one process.

    gloo joins tensors in main memory, NCCL those on GPUs of NVIDIA.

    Raises:
        ProcessesError: If the other processes do not come.
        ValueError: If the environment makes no sense, or the backend is not torch.
    """
    global _group
    if not several():
        _check_no_unknown_group()
        return None
    if _group is None:
        _check_backend()
        _group = _started()
    return _group


def use_own_device() -> None:
    """On a machine with several GPUs, take the one of this process's local rank.

    Does nothing for one process or without GPUs.
    """
    if not several():
        return
    import torch

    if torch.cuda.is_available() and not torch.cuda.is_initialized():
        torch.cuda.set_device(launched().local_rank % torch.cuda.device_count())


def _check_no_unknown_group() -> None:
    """Refuse a group that a script has started and the environment does not know of."""
    distributed: Any = sys.modules.get("torch.distributed")
    if _alone or distributed is None or not distributed.is_available():
        return
    if distributed.is_initialized() and distributed.get_world_size() > 1:
        raise ValueError(
            "RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT must say which process this "
            f"is. Received: a group of {distributed.get_world_size()} processes of "
            "torch.distributed, and no such variables. Start with torchrun, or set them."
        )


def _check_backend() -> None:
    import keras

    backend = keras.backend.backend()
    if backend != "torch":
        raise ValueError(
            f"Several processes must train on the torch backend. Received: backend={backend}, "
            f"{launched().world_size} processes started by {launched().launcher}. Set "
            "KERAS_BACKEND=torch, or start one process."
        )


def _started() -> Group:
    import torch
    from torch import distributed

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if distributed.is_initialized():
        return Group(distributed.get_rank(), distributed.get_world_size(), None)
    use_own_device()
    launch = launched()
    try:
        store = connected(launch, TIMEOUT)
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo",
            store=store,
            rank=launch.rank,
            world_size=launch.world_size,
            timeout=TIMEOUT,
        )
        watch = Watch(launch, connected(launch, TIMEOUT))
    except RuntimeError as error:
        raise ProcessesError(
            f"All {launch.world_size} processes must find process 0 at "
            f"{launch.address}:{launch.port}. Received, on process {launch.rank}: "
            f"{' '.join(str(error).split())}. Start all of them, by torchrun or srun, with an "
            "address that each machine can reach."
        ) from error
    atexit.register(_leave, watch)
    return Group(launch.rank, launch.world_size, watch)


def _leave(watch: Watch) -> None:
    from torch import distributed

    watch.leave()
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _buckets(tensors: Sequence[Any]) -> Iterator[list[Any]]:
    """Tensors of one type and device together, up to `BUCKET` numbers each."""
    kinds: dict[Any, list[Any]] = {}
    for tensor in tensors:
        kinds.setdefault((tensor.dtype, tensor.device), []).append(tensor)
    for alike in kinds.values():
        bucket: list[Any] = []
        size = 0
        for tensor in alike:
            if bucket and size + tensor.numel() > BUCKET:
                yield bucket
                bucket, size = [], 0
            bucket.append(tensor)
            size += tensor.numel()
        yield bucket
