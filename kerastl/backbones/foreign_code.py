"""Whether Python code that a file names may be imported and called: decided here alone.

A `module:` backbone is a function of any package. The user may name one in
Python or on the command line; in a model, a config or a checkpoint it is what
whoever wrote the file wants to run.
"""

from __future__ import annotations

CODE_SOURCES = ("module",)
"""Sources of backbones that import and call what their spec names."""


class FromFile(str):
    """A backbone spec that a file named, and whose code the user has not allowed.

    It stays what it is wherever the options go: a config, its copies, a
    process of its own.

    Args:
        spec: The spec.
        origin: The file, for what is said.
    """

    origin: str

    def __new__(cls, spec: str, origin: str = "a file") -> FromFile:
        made = super().__new__(cls, spec)
        made.origin = origin
        return made


def names_code(spec: str) -> bool:
    """Whether a backbone spec names Python code to import and call.

    Example:

    >>> names_code("module:my.nets:small"), names_code("torchvision:resnet18")
    (True, False)
    """
    return spec.partition(":")[0] in CODE_SOURCES


def from_file(spec: str, origin: str, *, safe_mode: bool) -> str:
    """A spec as a file says it; in safe mode it is remembered that a file did.

    Args:
        spec: The spec.
        origin: The file, as in "the model file x.keras".
        safe_mode: Whether the file's code is not to run.
    """
    return FromFile(spec, origin) if safe_mode else str(spec)


def check(spec: str) -> None:
    """Refuse code that a file names, unless the user allowed it.

    Raises:
        ValueError: Naming the code, the file, and how it is allowed.
    """
    if isinstance(spec, FromFile) and names_code(spec):
        raise ValueError(
            f"The backbone in {spec.origin} is Python code to import and call ({str(spec)!r}). "
            "If you trust the file, say --no-safe-mode in the shell, safe_mode=False in Python; "
            "or name the backbone yourself."
        )
