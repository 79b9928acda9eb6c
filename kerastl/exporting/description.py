"""The metadata in an exported file: classes, image size, input and output."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from kerastl.internals.versions import __version__

INPUT = "images"
OUTPUT = "probabilities"
FILE = "kerastl.json"
"""Name of the description where a format keeps whole files."""


def description_of(model: Any) -> dict[str, Any]:
    """The description of a classifier, as JSON has it; the same model gives the same."""
    size, count = model.image_size, model.num_classes
    about = {
        "kerastl_version": __version__,
        "backbone": model.backbone_spec,
        "image_size": size,
        "resize": model.resize,
        "resizing": asdict(model.resizing),
        "input": f"{INPUT}: float32 pixels 0-255, RGB, (batch, {size}, {size}, 3); "
        "scaling to the network's own range is part of the model",
        "output": f"{OUTPUT}: float32 (batch, {count})"
        + (", of the second of two classes" if count == 1 else ", in the order of class_names"),
    }
    if model.white is not None:
        about["white"] = model.white
    if model.class_names:
        about["class_names"] = list(model.class_names)
    return about


def as_texts(description: Mapping[str, Any]) -> dict[str, str]:
    """The description for formats whose metadata are texts; what is no text becomes JSON.

    Example:

    >>> as_texts({"resize": "crop", "class_names": ["rose", "tulip"]})
    {'resize': 'crop', 'class_names': '["rose", "tulip"]'}
    """
    return {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in description.items()
    }


def from_texts(texts: Mapping[str, str]) -> dict[str, Any]:
    """The description that `as_texts` wrote.

    Example:

    >>> from_texts({"resize": "crop", "class_names": '["1", "2"]', "image_size": "64"})
    {'resize': 'crop', 'class_names': ['1', '2'], 'image_size': 64}
    """
    are_json = ("class_names", "image_size", "resizing", "white")
    return {key: json.loads(text) if key in are_json else text for key, text in texts.items()}


def as_json(description: Mapping[str, Any]) -> str:
    """The description as a JSON file."""
    return json.dumps(description, indent=2, ensure_ascii=False) + "\n"
