"""Find the images of a spec, or of a pair of arrays."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from kerastl.data.arrays import array_data
from kerastl.data.items import SourceData
from kerastl.data.specs import data_source, parse_data_spec


def read_spec(
    spec: str | tuple[Any, Any], class_names: Sequence[str] | None, task: str
) -> tuple[SourceData, bool]:
    """The images of a spec, and whether they are in memory.

    Args:
        spec: A data spec, or a pair of arrays.
        class_names: Names of the classes, for arrays only.
        task: What the labels are.

    Raises:
        ValueError: If the spec cannot be read, or has no such labels.
        UnknownNameError: If no source or data set has that name.
    """
    if isinstance(spec, tuple | list):
        if len(spec) != 2:
            raise ValueError(
                f"`spec` must be a pair (images, labels). Received: {len(spec)} items."
            )
        return array_data(spec[0], spec[1], class_names=class_names, task=task), True
    parsed = parse_data_spec(spec)
    if class_names is not None:
        raise ValueError(
            f"`class_names` must be left out, as {spec!r} names its classes itself. "
            f"Received: class_names={class_names!r}."
        )
    source = data_source(parsed.source)
    if task not in source.tasks:
        raise ValueError(
            f"`task` must be {' or '.join(map(repr, source.tasks))} for {source.form}. Received: "
            f"task={task!r}. Write a table of files and labels, and name it csv:FILE."
        )
    read = importlib.import_module(source.module).read_source
    data: SourceData = read(parsed) if len(source.tasks) == 1 else read(parsed, task)
    return data, source.in_memory
