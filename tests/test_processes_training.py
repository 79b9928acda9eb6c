"""Two and four processes against one: the same history and weights; and what is refused."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
CASES = (
    "head_and_unfreeze",
    "accumulated",
    "loaded_images",
    "loaded_features",
    "stopped_early",
    "lite0",
    "lite0_batch_norm",
    "random_layers",
    "torch_dropout",
)
OF_FOUR = ("head_and_unfreeze", "loaded_features", "lite0", "torch_dropout")
# Where batches make the statistics, rounding grows from step to step: not so in float64.
IN_FLOAT64 = ("trained_batch_norm", "keras_network")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What each process of a world wrote down, by case: trained when it is first asked for."""
    known = {}

    def of(world, cases, floatx="float32"):
        if (world, floatx) not in known:
            folder = tmp_path_factory.mktemp(f"{world}-{floatx}")
            _train(world, folder, cases, floatx)
            known[world, floatx] = folder
        folder = known[world, floatx]
        return lambda case, rank=0: np.load(folder / f"{case}-{rank}.npz")

    return of


def _train(world, folder, cases, floatx):
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(world)]
    command = [str(HERE / "trained_together.py"), str(folder), *cases]
    done = subprocess.run(
        [sys.executable, *(torchrun if world > 1 else []), *command],
        env=_environment() | {"FLOATX": floatx},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def _environment():
    paths = [str(HERE.parent), str(HERE)]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}


def _assert_same(found, expected, *, within):
    names = [name for name in expected.files if name.startswith("history ")]
    assert names == [name for name in found.files if name.startswith("history ")]
    assert names
    for name in names:
        np.testing.assert_allclose(found[name], expected[name], rtol=within, atol=within)
    weights = [[n for n in each.files if n.startswith("weight ")] for each in (found, expected)]
    assert len(weights[0]) == len(weights[1]) > 3
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(found[one], expected[other], rtol=within, atol=within)


@pytest.mark.parametrize("case", CASES)
def test_two_processes_give_the_history_and_weights_of_one(outcomes, case):
    one, two = outcomes(1, CASES), outcomes(2, CASES)
    _assert_same(two(case), one(case), within=1e-5)


@pytest.mark.parametrize("case", OF_FOUR)
def test_four_processes_do_too_where_some_have_no_image_of_the_last_batch(outcomes, case):
    one, four = outcomes(1, CASES), outcomes(4, OF_FOUR)
    _assert_same(four(case), one(case), within=1e-5)


@pytest.mark.parametrize("case", IN_FLOAT64)
def test_batch_norms_that_train_have_the_statistics_of_all_processes(outcomes, case):
    one, three = (outcomes(world, IN_FLOAT64, "float64") for world in (1, 3))
    # The losses are float32 in Keras's metrics.
    _assert_same(three(case), one(case), within=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_all_processes_end_with_the_same_bits(outcomes, case):
    two = outcomes(2, CASES)
    first, second = two(case, 0), two(case, 1)
    for one, other in zip(first.files, second.files, strict=True):
        np.testing.assert_array_equal(first[one], second[other])


# === What is refused ===

REFUSED = {
    "other_labels": "same data, options and model. Received: other training data on process 1",
    "other_images": "same data, options and model. Received: other training data on process 1",
    "other_options": "same data, options and model. Received: other options on process 1",
    "small_batch": "must be 2 or more for 2 processes. Received: batch_size=1",
    "few_images": "an image for each of the 2 processes. Received: 1 images",
    "own_sampler": "Received: one with a DistributedSampler. Leave the sampler out",
    "generator": "a DataLoader that makes batches of numbered images. Received: generator",
    "own_metric": "Received: largest, of the class Largest, of which that is not known",
    "own_loop": "Several processes must train by `fit`",
    "sum_of_losses": "must be the mean over the images. Received: reduction='sum'",
    "sharded": "must be whole on each process. Received: one that `fully_shard` was called on",
    "unfrozen_on_one": "Blocks must be frozen and unfrozen on all processes alike",
    "weights_that_parted": "Received: other weights on process 1 than on process 0",
    "evaluated_by_itself": "nothing was said",
    "other_calls": "Received: other methods that are called on process 1",
}


def _said(*cases, port):
    """What two processes, started without torchrun, say of each case."""
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    started = [
        subprocess.Popen(
            [sys.executable, str(HERE / "wrong_together.py"), *cases],
            env=_environment() | place | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    return [each.communicate(timeout=300)[0] for each in started]


@pytest.fixture(scope="module")
def refusals(free_port):
    """What the first of two processes was told, by case."""
    output = _said(*REFUSED, port=free_port())[0]
    return dict(re.findall(r"^(\w+): (.*)$", output, re.MULTILINE))


@pytest.fixture(scope="module")
def free_port():
    """Gives a port that nothing listens at."""
    import socket

    def found():
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            return listening.getsockname()[1]

    return found


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_done_together_is_one_sentence(refusals, case):
    assert REFUSED[case] in refusals[case]


@pytest.mark.parametrize(
    ("case", "rank", "words"),
    [
        ("killed", 0, r"process 1 of 2 on \S+ has ended without a word"),
        ("broken_on_one", 0, r"process 1 of 2 on \S+ has ended: No space left on device"),
        ("evaluated_on_one", 0, r"process 1 of 2 on \S+ has come to the end of its program"),
    ],
)
def test_a_process_that_has_ended_is_named_by_the_others(free_port, case, rank, words):
    assert re.search(words, _said(case, port=free_port())[rank])
