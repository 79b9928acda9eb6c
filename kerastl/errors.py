"""Exceptions, close matches for unknown names, and errors as one sentence."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


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


_MENDABLE = (ValueError, TypeError, OSError, RuntimeError, ImportError)


def sentence(error: Exception) -> str:
    """What an error says to the user.

    Example:

    >>> sentence(FileNotFoundError(2, "No such file or directory", "flowers"))
    'No such file or directory: flowers'
    >>> sentence(KeyError("stem"))
    "KeyError: 'stem'. This is a fault of kerastl; --debug shows where."
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f": {error.filename}" if error.filename else "")
    if isinstance(error, _MENDABLE) and str(error).strip():
        return reason_of(error) if _KERAS_WRAPPER in str(error) else str(error).strip()
    return f"{type(error).__name__}: {error}. This is a fault of kerastl; --debug shows where."
