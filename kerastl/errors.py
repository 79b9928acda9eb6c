"""Exceptions, close matches for unknown names, and errors as one sentence."""

from __future__ import annotations

import difflib
import dis
import re
import traceback
from collections.abc import Iterable, Iterator
from types import FrameType


class UnknownNameError(ValueError):
    """A name that is in no registry, or a block that the model does not have."""


class WeightsError(ValueError):
    """Weights that cannot be had, or that belong to another model."""


class DamagedFileError(ValueError):
    """A file that is not as it was written, or that was made to do harm; says why."""


class BrokenImagesError(ValueError):
    """Image files that cannot be decoded; lists each file and why."""


class ConversionError(ValueError):
    """A torch graph that cannot run on another backend; says which node, where, and what can."""


class TrainingDivergedError(RuntimeError):
    """A loss that is not finite; says at which step and which learning rates."""


class OutOfMemoryError(RuntimeError):
    """Memory that does not suffice; says for what batches, and what would fit."""


class FolderInUseError(RuntimeError):
    """A folder that another process uses; says which, and since when."""


class WorkerError(RuntimeError):
    """A process that reads images has ended; says how, and what to lower."""


class ProcessesError(RuntimeError):
    """Processes that train together and cannot go on; says which one, and why."""


class Note(str):
    """A sentence on an exception, by `add_note`, that is for the user."""


class DataWarning(UserWarning):
    """Something about images or labels that is likely to be a mistake."""


def unknown_name(
    kind: str, name: str, known: Iterable[str], *, how_to_list: str
) -> UnknownNameError:
    """The error for a name that is not among the known ones.

    Args:
        kind: What the name should have named, as in "backbone".
        name: The name received.
        known: Every valid name.
        how_to_list: Where the reader finds all names, as a sentence.

    Returns:
        The exception, to be raised by the caller.

    Example:

    >>> print(unknown_name("block", "layr1", ["stem", "layer1"], how_to_list="Blocks: ..."))
    Unknown block 'layr1'. Did you mean 'layer1'? Blocks: ...
    """
    known = list(known)
    folded = {candidate.rpartition(":")[2].lower(): candidate for candidate in known}
    folded |= {candidate.lower(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.lower(), folded, n=3, cutoff=0.6)
    close = list(dict.fromkeys(folded[match] for match in matches))
    hint = f" Did you mean {' or '.join(repr(match) for match in close)}?" if close else ""
    return UnknownNameError(f"Unknown {kind} {name!r}.{hint} {how_to_list}")


def reason_of(error: Exception) -> str:
    """What an error says, on one line, without the words that Keras puts around it.

    Keras sets the words of a failed layer in bold, and puts "Error encountered"
    before those of a layer whose output has no shape.

    Example:

    >>> reason_of(ValueError("Exception\\n\\x1b[1mToo\\nsmall.\\x1b[0m\\nArguments"))
    'Too small.'
    """
    bold = re.search(r"\x1b\[1m(.*?)\x1b\[0m", str(error), re.DOTALL)
    words = " ".join((bold.group(1) if bold else str(error)).split())
    return words.rpartition("Error encountered: ")[2]


_KERAS_WRAPPER = "Exception encountered when calling"


# By their kind it is the machine, an option or the installation, wherever they were raised.
_OF_THE_MACHINE = (OSError, MemoryError)
_MENDABLE = (ValueError, TypeError, RuntimeError, ImportError, *_OF_THE_MACHINE)
_OWN = __name__.partition(".")[0]
# As torch 2.14 says it on processors and on devices, CUDA's libraries, oneDNN, XLA, and NumPy
# where Keras has put its own words around it.
_NO_MEMORY = re.compile(
    r"out of memory|can't allocate memory|RESOURCE_EXHAUSTED|ALLOC_FAILED|bad_alloc"
    r"|could not create a (?:memory|primitive)|unable to allocate [\d.]+ .?i?B",
    re.IGNORECASE,
)
_TENSORFLOWS_OWN = "ResourceExhaustedError"  # no RuntimeError

own_modules: set[str] = set()
"""Names of the user's modules that a spec has named: what they raise is the user's to mend."""


def is_fault(error: BaseException) -> bool:
    """Whether an error is a fault of the program, and not something that the user can mend.

    The user can mend what kerastl itself raises, in words for the user; what the machine says
    (files, the network, memory); what is not installed; and what a module of the user's own
    raises. Any other error, say a ValueError from within a library, is a fault.

    Example:

    >>> try:
    ...     int("three")
    ... except ValueError as error:
    ...     is_fault(error)
    True
    >>> try:
    ...     raise unknown_name("block", "stm", ["stem"], how_to_list="")
    ... except ValueError as error:
    ...     is_fault(error)
    False
    """
    if lacks_memory(error):
        return False
    if not isinstance(error, _MENDABLE):
        return True
    if isinstance(error, _OF_THE_MACHINE) or type(error).__module__.partition(".")[0] == _OWN:
        return False
    if isinstance(error, ImportError):
        return (error.name or "").partition(".")[0] == _OWN
    return error.__traceback__ is not None and not any(
        _is_for_the_user(each) and _words(each) in str(error) for each in _chain(error)
    )


_WORKER = re.compile(
    # Torch 2.14; the second is of a worker that has ended without a signal.
    r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (?:is killed by signal: (.+?)\.|exited)"
)


def worker_error(error: BaseException) -> WorkerError | None:
    """What to say of a process that read images and has ended; None: the error is another.

    Torch raises it wherever the program is just then, so that whatever tells errors asks here.

    Args:
        error: What was raised.
    """
    if isinstance(error, WorkerError):  # told already, with more than its cause says
        return None
    found = list(filter(None, (_WORKER.search(str(each)) for each in _chain(error))))
    if not isinstance(error, RuntimeError) or not found:
        return None
    how = next((each[2].strip() for each in found if each[2]), "")
    made = worker_ended(found[0][1], how)
    for note in getattr(error, "__notes__", ()):
        made.add_note(note)
    return made


def worker_ended(process: str, signal: str) -> WorkerError:
    """What to say of a process that read images and has ended.

    Args:
        process: Its number.
        signal: What ended it, "Killed" or "Bus error" as the system says it; "" where that is not
            known.
    """
    fate = f"was ended by the system ({signal})" if signal else "ended without a word"
    if signal in ("Killed", ""):
        fate += ", most often because the memory did not suffice"
    elif "Bus error" in signal:
        fate += ", most often because the shared memory (/dev/shm) did not suffice"
    return WorkerError(
        f"A worker process that reads images, {process}, {fate}. Lower the number of workers "
        "(--workers; 0 reads in the main process), the batch size or the image size."
    )


def lacks_memory(error: BaseException) -> bool:
    """Whether a library says that memory, of the machine or of a device, did not suffice."""
    if isinstance(error, OutOfMemoryError):
        return False  # told already
    if isinstance(error, MemoryError) or type(error).__name__ == _TENSORFLOWS_OWN:
        return True
    return isinstance(error, RuntimeError) and bool(_NO_MEMORY.search(str(error)))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it was raised from, or while handling what."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _words(error: BaseException) -> str:
    return str(error).strip()


def _is_for_the_user(error: BaseException) -> bool:
    """Whether kerastl has raised it by a statement of its own, or a module of the user has."""
    steps = list(traceback.walk_tb(error.__traceback__))
    named = [_module(frame) for frame, _ in steps]
    ours = [name for name in named if name.partition(".")[0] == _OWN or name in own_modules]
    if ours and ours[-1] in own_modules:
        return True
    if not steps or named[-1].partition(".")[0] != _OWN:
        return False
    code, line = steps[-1][0].f_code, steps[-1][1]
    # By the line: Keras 3.15 makes tracebacks anew, without the place of the instruction.
    return any(
        each.opname == "RAISE_VARARGS"
        and each.positions is not None
        # A statement of several lines, or words that a line of it computes.
        and (each.positions.lineno or 0) <= line <= (each.positions.end_lineno or 0)
        for each in dis.get_instructions(code)
    )


def _module(frame: FrameType) -> str:
    """Name of a frame's module, `python -m` included."""
    spec = frame.f_globals.get("__spec__")
    return str(getattr(spec, "name", None) or frame.f_globals.get("__name__", ""))


def sentence(error: BaseException) -> str:
    """What an error says to the user, with the notes that kerastl has put on it.

    Example:

    >>> sentence(FileNotFoundError(2, "No such file or directory", "flowers"))
    'No such file or directory: flowers'
    >>> sentence(KeyError("stem"))
    "KeyError: 'stem'. This is a fault of kerastl; run again with --debug to see where."
    """
    notes = [note for note in getattr(error, "__notes__", ()) if isinstance(note, Note)]
    said = _said(error)
    return " ".join([said if not notes or said.endswith((".", ":")) else f"{said}.", *notes])


def _said(error: BaseException) -> str:
    if is_fault(error):
        what = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")
        return f"{what}. This is a fault of kerastl; run again with --debug to see where."
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f": {error.filename}" if error.filename else "")
    if lacks_memory(error):
        what = " ".join(str(error).split()) or "MemoryError"
        return f"The memory does not suffice ({what}). Lower the batch size or the image size."
    if isinstance(error, Exception) and _KERAS_WRAPPER in str(error):
        return reason_of(error)
    return str(error).strip() or f"{type(error).__name__}, without words."
