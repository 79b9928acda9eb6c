"""Text for a file that knows an object within this process."""

from __future__ import annotations

import weakref
from typing import Any


class Live(str):
    """A string in a configuration, from which a copy of something can be made while it lives.

    A saved file has the text alone. So `keras.models.clone_model`, and
    `from_config(get_config())`, copy a torch network that no file describes.

    Args:
        text: What a file says.
        target: What it stands for.
    """

    _reference: Any

    def __new__(cls, text: str, target: Any) -> Live:
        made = super().__new__(cls, text)
        made._reference = weakref.ref(target)
        return made

    def __reduce__(self) -> Any:
        return str, (str(self),)

    def __deepcopy__(self, memo: Any) -> Live:
        return self


def target_of(text: str) -> Any:
    """What a string of a configuration stands for; None where it is gone, or came from a file."""
    return text._reference() if isinstance(text, Live) else None
