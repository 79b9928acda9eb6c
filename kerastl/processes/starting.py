"""Start several processes on this machine, by torch's own elastic launcher."""

from __future__ import annotations

import os
import signal
import sys
import uuid
from collections.abc import Sequence

from kerastl.errors import ProcessesError

AUTO = "auto"


def number_of(processes: str) -> int:
    """How many processes are asked for.

    Args:
        processes: A number, or "auto": one for each GPU, else one.

    Raises:
        ValueError: If it is neither.
    """
    if processes == AUTO:
        import torch

        return max(1, torch.cuda.device_count())
    if not processes.isdecimal() or int(processes) < 1:
        raise ValueError(
            f"`processes` must be a whole number, 1 or more, or auto. Received: {processes!r}."
        )
    return int(processes)


def run_together(count: int, command: Sequence[str]) -> int:
    """Run a Python command in several processes that train together, and wait for them.

    A signal that ends this process is handed on to them. Processors are shared out
    among them where OMP_NUM_THREADS does not say otherwise.

    Args:
        count: How many.
        command: Arguments of Python, as in `["-m", "kerastl", "run"]`.

    Returns:
        Exit code: 0, or that of the process that failed first.

    Raises:
        ProcessesError: If a signal has ended one of them.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher import LaunchConfig, elastic_launch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (cores or 1) // count)))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)(*command)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode < 0:
            ended = signal.strsignal(-failure.exitcode) or failure.exitcode
            raise ProcessesError(
                f"Processes that train together must all go on. Received: process {rank} of "
                f"{count} was ended by the system ({ended}), most often because the memory did "
                "not suffice. Start fewer processes, or lower the batch size or the image size."
            ) from None
        return int(failure.exitcode)
    except SignalException as stop:
        return 130 if stop.sigval == signal.SIGINT else 143
    return 0
