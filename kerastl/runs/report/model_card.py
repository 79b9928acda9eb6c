"""The model card: `README.md` in the form of the model hubs (Mitchell et al., 2019)."""

from __future__ import annotations

import json
import re
from typing import Any

from kerastl.evaluation import calibration
from kerastl.pages.environment import environment
from kerastl.runs.report.contents import ReportContents
from kerastl.runs.report.page import (
    class_scores,
    folds_sentence,
    metric_parts,
    metric_rows,
)

MARK = "<!-- Written by kerastl. Without this line it leaves your changes alone. -->"

# A longer list of classes is cut; the model file has all.
_MOST_NAMES = 100
_MARKDOWN = re.compile(r"([\\`*_\[\]|~$])")


def card(contents: ReportContents) -> str:
    """The text of the model card."""
    scores = contents.scores
    weakest = None
    error = None
    if scores is not None:
        rows = [row for row in class_scores(scores)[:-1] if row.count]
        weakest = min(rows, key=lambda row: row.recall)
        error = calibration.expected_calibration_error(scores.labels, scores.probabilities)
    made = environment("kerastl.runs.report", autoescape=False)
    made.filters |= {"md": markdown, "yaml": yaml_text}
    return made.get_template("model_card.md.jinja").render(
        run=contents,
        results=contents.results,
        mark=MARK,
        backbone=contents.config["backbone"],
        source=contents.config["backbone"].partition(":")[0],
        data=str(contents.config["data"]),
        weights=str(contents.config.get("weights", "default")),
        frozen=[block.name for block in contents.blocks if block.rates is None],
        trained=[block for block in contents.blocks if block.rates is not None],
        metrics=metric_rows(contents),
        parts=metric_parts(contents),
        folds=folds_sentence(contents.results),
        names=list(contents.results.class_names)[:_MOST_NAMES],
        more_names=max(len(contents.results.class_names) - _MOST_NAMES, 0),
        weakest=weakest,
        calibration_error=error,
    )


def markdown(text: Any) -> str:
    """A text that Markdown shows as it is, also within a table.

    Example:

    >>> markdown("a|b <i>")
    'a\\\\|b &lt;i&gt;'
    """
    one_line = " ".join(str(text).split())
    plain = one_line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN.sub(r"\\\1", plain)


def yaml_text(value: Any) -> str:
    """A text or number in YAML, which takes JSON's form of both.

    Example:

    >>> yaml_text('a: "b"')
    '"a: \\\\"b\\\\""'
    """
    written = json.dumps(value, ensure_ascii=False)
    # YAML counts some characters as line breaks or refuses them where JSON does not.
    return "".join(each if each.isprintable() else _escaped(each) for each in written)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
