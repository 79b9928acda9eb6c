"""The table of all options of a run, `docs/options.md`, from their one definition.

`python -m kerastl.runs.options_page > docs/options.md` writes it anew.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from kerastl.runs.config import PHASE_OPTIONS, RunConfig

_ABOUT = """# Options of a run

`kerastl run`, `plan`, `find-rate` and `compare` take these on the command line, as
`--learning-rate 0.001`, and in the file of `--config`, as `learning_rate = 0.001`. The
`config.toml` of a finished run has every one of them, as it was settled.
"""


def options_page() -> str:
    """The page as Markdown: each option with its default, its choices and its help."""
    lines = [_ABOUT, "| option | default | choices | what it does |", "|---|---|---|---|"]
    lines += [_row(option) for option in dataclasses.fields(RunConfig)]
    phases = ", ".join(f"`{name}`" for name in PHASE_OPTIONS)
    lines += [
        "",
        f"A `[[phase]]` in the file may set {phases} for itself; the rest is the run's. "
        "`kerastl plan --write FILE` writes a file with the phases of a run, to edit.",
    ]
    return "\n".join(lines) + "\n"


def changed_options(config: RunConfig) -> dict[str, Any]:
    """The options that are not at their default, by name."""
    plain = RunConfig()
    return {
        option.name: getattr(config, option.name)
        for option in dataclasses.fields(RunConfig)
        if getattr(config, option.name) != getattr(plain, option.name)
    }


def _row(option: dataclasses.Field[Any]) -> str:
    default = getattr(RunConfig(), option.name)
    shown = "" if default in (None, (), {}) else f"`{default}`"
    choices = " ".join(f"`{choice}`" for choice in option.metadata["choices"] or _words(option))
    return f"| `{option.name}` | {shown} | {choices} | {option.metadata['help']} |"


def _words(option: dataclasses.Field[Any]) -> tuple[str, ...]:
    """The word that an option takes in the place of a number."""
    word = option.metadata["word"]
    return (word,) if word else ()


if __name__ == "__main__":
    print(options_page(), end="")
