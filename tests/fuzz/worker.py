"""A process that opens damaged files: `worker.py TARGET FIRST COUNT FOLDER`, one line each."""

import contextlib
import sys
import warnings
from pathlib import Path

from targets import TARGETS, try_input

MOST_BYTES = 2 * 10**9
"""Above what the imports take."""


def limit_memory() -> None:
    """Let an input that takes too much end in a MemoryError; on Linux alone."""
    with contextlib.suppress(ImportError, OSError, IndexError):
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + MOST_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main() -> None:
    name, first, count, folder = sys.argv[1:]
    warnings.simplefilter("ignore")
    limit_memory()
    for seed in range(int(first), int(first) + int(count)):
        print(seed, try_input(TARGETS[name], seed, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
