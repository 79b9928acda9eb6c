"""The place of a process, as launchers say it in the environment."""

import pytest

from kerastl.processes.launch import ONE, Launch, first_host, launch_of

TORCHRUN = {
    "RANK": "5",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "4",
    "MASTER_ADDR": "node1",
    "MASTER_PORT": "29401",
    "TORCHELASTIC_RESTART_COUNT": "2",
    "TORCHELASTIC_USE_AGENT_STORE": "True",
}
# As srun sets them for the task on the second of two nodes, `srun -n 5`.
SRUN = {
    "SLURM_JOB_ID": "4711",
    "SLURM_STEP_ID": "0",
    "SLURM_PROCID": "4",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
    "SLURM_NTASKS": "5",
    "SLURM_STEP_NUM_TASKS": "5",
    "SLURM_STEP_TASKS_PER_NODE": "3,2",
    "SLURM_STEP_NODELIST": "gpu[07,12]",
}
MPIRUN = {
    "OMPI_COMM_WORLD_RANK": "1",
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "4",
}
MPICH = {"PMI_RANK": "1", "PMI_SIZE": "2", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "2"}


def test_nothing_said_is_one_process():
    assert launch_of({}) == ONE
    assert launch_of({"PATH": "/bin", "HOME": "/root"}) == ONE


def test_torchrun_says_all():
    assert launch_of(TORCHRUN) == Launch(
        rank=5,
        world_size=8,
        local_rank=1,
        local_world_size=4,
        address="node1",
        port=29401,
        launcher="torchrun",
        hosts_store=False,
        attempt=2,
    )


def test_torchrun_of_one_process_is_one_process():
    assert launch_of(TORCHRUN | {"RANK": "0", "WORLD_SIZE": "1"}) == ONE


def test_torchrun_within_a_slurm_step_counts():
    assert launch_of(SRUN | TORCHRUN).launcher == "torchrun"


def test_a_slurm_step_of_several_tasks_is_several_processes():
    found = launch_of(SRUN)
    assert (found.rank, found.world_size, found.local_rank) == (4, 5, 1)
    assert (found.address, found.local_world_size) == ("gpu07", 2)
    assert found.port == launch_of(SRUN | {"SLURM_PROCID": "0", "SLURM_LOCALID": "0"}).port
    assert found.port != launch_of(SRUN | {"SLURM_JOB_ID": "4712"}).port


@pytest.mark.parametrize(
    "environment",
    [
        # A batch script, or a shell of salloc, without srun.
        {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "8", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"},
        # The shell of salloc with use_interactive_step.
        {"SLURM_NTASKS": "8", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"},
        {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "1"},
        {"PMI_RANK": "0", "PMI_SIZE": "1"},
        {"WORLD_SIZE": "4"},
    ],
    ids=["sbatch", "salloc", "mpirun of one", "mpiexec of one", "a world without a rank"],
)
def test_one_process_that_a_cluster_has_started_is_one(environment):
    assert launch_of(environment) == ONE


@pytest.mark.parametrize("environment", [MPIRUN, MPICH], ids=["Open MPI", "MPICH"])
def test_mpi_on_one_machine_needs_no_address(environment):
    found = launch_of(environment)
    assert (found.rank, found.local_rank, found.address) == (1, 1, "127.0.0.1")
    assert found.world_size == found.local_world_size == (4 if "PMI_RANK" not in environment else 2)


def test_mpi_on_two_machines_asks_for_the_address():
    two = MPIRUN | {"OMPI_COMM_WORLD_LOCAL_SIZE": "2"}
    with pytest.raises(ValueError, match="MASTER_ADDR and MASTER_PORT must say"):
        launch_of(two)
    found = launch_of(two | {"MASTER_ADDR": "a", "MASTER_PORT": "4000"})
    assert (found.address, found.port, found.local_world_size) == ("a", 4000, 2)


def test_variables_that_make_no_sense_are_one_sentence():
    with pytest.raises(ValueError, match="WORLD_SIZE must be a whole number"):
        launch_of(TORCHRUN | {"WORLD_SIZE": "two"})
    with pytest.raises(ValueError, match=r"must be below that of all, 8\. Received: 8"):
        launch_of(TORCHRUN | {"RANK": "8"})
    with pytest.raises(ValueError, match="MASTER_PORT must say where process 0 is"):
        launch_of({name: text for name, text in TORCHRUN.items() if name != "MASTER_PORT"})


@pytest.mark.parametrize(
    ("nodes", "host"),
    [
        ("node1,node2", "node1"),
        ("n[1-3]", "n1"),
        ("rack2-n[010,012-020]", "rack2-n010"),
        ("n[3-4]-ib", "n3-ib"),
    ],
)
def test_the_first_host_of_slurms_lists(nodes, host):
    assert first_host(nodes) == host
