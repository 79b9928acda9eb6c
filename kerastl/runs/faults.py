"""The traceback of a fault of the program, in a file of the run's folder."""

from __future__ import annotations

import contextlib
import platform
import traceback
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from kerastl.errors import Note, is_fault, worker_error
from kerastl.evaluation.run_record import FAULT_FILE
from kerastl.internals.versions import versions
from kerastl.internals.whole_files import write_whole


@contextlib.contextmanager
def writing_faults(folder: Path) -> Iterator[None]:
    """Write the traceback of a fault that ends the block, and note on it where; raise it again.

    What an earlier fault has left goes.

    Args:
        folder: Of the run; it is made if it is not there.
    """
    file = folder / FAULT_FILE
    try:
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)
        yield
    except Exception as error:
        if is_fault(error) and worker_error(error) is None:
            text = _text(error)
            with contextlib.suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True)
                write_whole(file, lambda path: path.write_text(text, encoding="utf-8"))
                error.add_note(Note(f"The traceback is in {file}."))
        raise


def _text(error: Exception) -> str:
    made_by = ", ".join(f"{name} {number}" for name, number in versions().items())
    when = datetime.now().astimezone().isoformat(" ", "seconds")
    about = f"{when}, {made_by}, Python {platform.python_version()}, {platform.platform()}"
    return "\n".join([about, "", *traceback.format_exception(error)])
