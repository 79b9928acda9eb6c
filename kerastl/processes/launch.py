"""Which process this is, and of how many: from what a launcher puts into the environment."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

_PORT = 29500  # torch's own default
_FIRST_PORT, _PORTS = 20000, 10000


@dataclass(frozen=True)
class Launch:
    """The place of a process among those that a launcher has started.

    Attributes:
        rank: Number of the process, from 0.
        world_size: How many there are.
        local_rank: Number of the process on its machine, from 0.
        local_world_size: How many there are on its machine.
        address: Host of process 0.
        port: Where process 0, or the launcher, listens.
        launcher: What has started them.
        hosts_store: Whether process 0 has to listen itself.
        attempt: How often the launcher has started them before.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_world_size: int = 1
    address: str = "127.0.0.1"
    port: int = _PORT
    launcher: str = ""
    hosts_store: bool = True
    attempt: int = 0


ONE = Launch()
"""One process by itself."""


@cache
def launched() -> Launch:
    """The place of this process, as its environment says."""
    return launch_of(os.environ)


def launch_of(environment: Mapping[str, str]) -> Launch:
    """The place of a process, from environment variables.

    torchrun's variables come first, then those of a Slurm step, Open MPI and
    the process managers of MPICH and Intel MPI. A Slurm job whose script runs
    without `srun` is one process, whatever its number of tasks.

    Args:
        environment: Its variables.

    Returns:
        The place; one process where no launcher has started several.

    Raises:
        ValueError: If a variable is missing or makes no sense.

    Example:

    >>> launch_of({"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1234"}).rank
    1
    >>> launch_of({"SLURM_NTASKS": "8"}).world_size
    1
    """
    found = None
    if {"RANK", "WORLD_SIZE"} <= environment.keys():
        found = _by_torch(environment)
    elif "SLURM_PROCID" in environment and "SLURM_STEP_NUM_TASKS" in environment:
        found = _by_slurm(environment)
    elif "OMPI_COMM_WORLD_RANK" in environment:
        found = _by_mpi(environment, "Open MPI", *_OPEN_MPI)
    elif "PMI_RANK" in environment:
        found = _by_mpi(environment, "MPI", *_PMI)
    if found is None or found.world_size == 1:
        return ONE
    if not 0 <= found.rank < found.world_size:
        raise ValueError(
            f"The number of a process must be below that of all, {found.world_size}. Received: "
            f"{found.rank}, from {found.launcher}. Mend RANK and WORLD_SIZE, or unset them."
        )
    return found


_OPEN_MPI = tuple(
    f"OMPI_COMM_WORLD_{name}" for name in ("RANK", "SIZE", "LOCAL_RANK", "LOCAL_SIZE")
)
_PMI = ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS")


def _by_torch(environment: Mapping[str, str]) -> Launch:
    world = _number(environment, "WORLD_SIZE")
    if world == 1:
        return ONE
    by_agent = environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    if missing := [name for name in ("MASTER_ADDR", "MASTER_PORT") if name not in environment]:
        raise ValueError(
            f"{' and '.join(missing)} must say where process 0 is, as RANK and WORLD_SIZE={world} "
            "are set. Start the processes with torchrun, or unset RANK and WORLD_SIZE."
        )
    rank = _number(environment, "RANK")
    return Launch(
        rank=rank,
        world_size=world,
        local_rank=_number(environment, "LOCAL_RANK", rank),
        local_world_size=_number(environment, "LOCAL_WORLD_SIZE", world),
        address=environment["MASTER_ADDR"],
        port=_number(environment, "MASTER_PORT"),
        launcher="torchrun",
        hosts_store=not by_agent,
        attempt=_number(environment, "TORCHELASTIC_RESTART_COUNT", 0),
    )


def _by_slurm(environment: Mapping[str, str]) -> Launch:
    world = _number(environment, "SLURM_STEP_NUM_TASKS")
    nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_NODELIST", "")
    step = f"{environment.get('SLURM_JOB_ID')}.{environment.get('SLURM_STEP_ID')}"
    return Launch(
        rank=_number(environment, "SLURM_PROCID"),
        world_size=world,
        local_rank=_number(environment, "SLURM_LOCALID", 0),
        local_world_size=_tasks_here(environment, world),
        address=environment.get("MASTER_ADDR") or first_host(nodes) or "127.0.0.1",
        port=_number(environment, "MASTER_PORT", _port_for(step)),
        launcher="Slurm",
        attempt=_number(environment, "SLURM_RESTART_COUNT", 0),
    )


def _tasks_here(environment: Mapping[str, str], world: int) -> int:
    """Tasks on this node, of "4(x2),3": four on each of two nodes and three on the third."""
    text = environment.get("SLURM_STEP_TASKS_PER_NODE", "")
    counts: list[int] = []
    for count, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", text):
        counts += [int(count)] * int(times or 1)
    place = _number(environment, "SLURM_NODEID", 0)
    return counts[place] if place < len(counts) else world


def _by_mpi(
    environment: Mapping[str, str], launcher: str, rank: str, size: str, here: str, count: str
) -> Launch:
    number, world = _number(environment, rank), _number(environment, size)
    if world == 1:
        return ONE
    local = _number(environment, count, world)
    if local < world and not {"MASTER_ADDR", "MASTER_PORT"} <= environment.keys():
        raise ValueError(
            "MASTER_ADDR and MASTER_PORT must say where process 0 is, as the processes are on "
            f"several machines. Received: {size}={world}, {local} of them here. Set both, as in "
            "mpirun -x MASTER_ADDR=node1 -x MASTER_PORT=29500."
        )
    job = environment.get("PMIX_NAMESPACE") or environment.get("PMI_JOBID", "")
    return Launch(
        rank=number,
        world_size=world,
        local_rank=_number(environment, here, number),
        local_world_size=local,
        address=environment.get("MASTER_ADDR", "127.0.0.1"),
        port=_number(environment, "MASTER_PORT", _port_for(job) if job else _PORT),
        launcher=launcher,
    )


def first_host(nodes: str) -> str:
    """The first host of Slurm's list of nodes.

    Example:

    >>> first_host("gpu[003-007,009],cpu1"), first_host("login"), first_host("")
    ('gpu003', 'login', '')
    """
    found = re.match(r"([^,\[]*)(?:\[(\d+)[^\]]*\])?([^,]*)", nodes)
    return "".join(part or "" for part in found.groups()) if found else ""


def _port_for(job: str) -> int:
    """A port that all processes of a job work out alike, and another job hardly has."""
    return _FIRST_PORT + zlib.crc32(job.encode()) % _PORTS


def _number(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environment.get(name)
    if text is None and default is not None:
        return default
    try:
        return int(text or "")
    except ValueError:
        raise ValueError(
            f"{name} must be a whole number, as launchers of several processes set it. Received: "
            f"{name}={text!r}. Start with torchrun or srun, or unset it."
        ) from None
