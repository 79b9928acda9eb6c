"""A worker process that reads images and is ended: one sentence with its fate."""

import contextlib
import multiprocessing
import os
import re
import signal

import pytest

from kerastl.data import load_data
from kerastl.errors import worker_error
from kerastl.internals.loaders import let_workers_end

pytestmark = pytest.mark.skipif(os.name != "posix", reason="no such signals")


def read_all(data, number):
    """Read the images again and again, and end the process that decodes them."""
    for _ in range(50):
        for _ in data.train:
            for child in multiprocessing.active_children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid, number)


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (signal.SIGKILL, r"was ended by the system \(Killed\), most often because the memory"),
        (signal.SIGUSR2, r"was ended by the system \(User defined signal 2\)\. Lower"),
    ],
)
def test_a_worker_that_is_ended_is_told_with_what_to_lower(pictures, number, says):
    handler = signal.getsignal(signal.SIGCHLD)
    data = load_data(f"folder:{pictures}", image_size=32, batch_size=1, num_workers=1)
    try:
        # Torch raises a plain one of its own where it notices the end outside the loader.
        with pytest.raises(RuntimeError) as raised:
            read_all(data, number)
        let_workers_end()
        assert re.search(says, str(worker_error(raised.value) or raised.value))
    finally:
        signal.signal(signal.SIGCHLD, handler)
