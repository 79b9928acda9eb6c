"""Turn matplotlib figures into inline SVG in the colours of the page."""

from __future__ import annotations

import html
import io
import re
import warnings
from collections.abc import Callable
from typing import Any

# Colours that stand for others: the page puts its own in their place, light or dark.
INK = "#010203"
FAINT = "#010204"
FIRST = "#010205"
SECOND = "#010206"
_PAGE_COLOURS = {
    INK: "currentColor",
    FAINT: "var(--line)",
    FIRST: "var(--first)",
    SECOND: "var(--second)",
}

# A mid-tone that stands out on white and on black; its opacity says how much.
HEAT = (0.18, 0.49, 0.85)

# Inches. On a phone a figure of this width is shown a fifth larger than drawn.
_WIDTH = 4.2

_STYLE = {
    "svg.fonttype": "none",
    "font.size": 9,
    "font.family": "sans-serif",
    "text.color": INK,
    "text.parse_math": False,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}


def drawn(draw: Callable[[Any], None], *, name: str, says: str, height: float = 2.6) -> str:
    """An SVG element.

    Args:
        draw: Draws on the figure that it is given.
        name: Prefix of every id in it, unique in the page.
        says: What the picture shows, for those who do not see it.
        height: Inches.
    """
    import matplotlib
    from matplotlib.figure import Figure

    buffer = io.StringIO()
    with matplotlib.rc_context(), warnings.catch_warnings():
        # A glyph that this machine's font lacks: the page's font draws it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**_STYLE, "svg.hashsalt": name})
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        draw(figure)
        figure.savefig(buffer, format="svg", transparent=True)
    return _inline(buffer.getvalue(), name, says)


def _inline(svg: str, name: str, says: str) -> str:
    svg = svg[svg.index("<svg") :]
    for element in ("metadata", "style"):
        # The style sheet would be the whole page's; the page has its rules itself.
        svg = re.sub(rf"<{element}[ >].*?</{element}>", "", svg, flags=re.DOTALL)
    opening, rest = svg.split(">", 1)
    view_box = re.search(r'viewBox="[^"]*"', opening)
    namespaces = re.findall(r'xmlns(?::\w+)?="[^"]*"', opening)
    attributes = [*namespaces, view_box.group() if view_box else ""]
    rest = re.sub(r'\bid="', f'id="{name}-', rest)
    rest = re.sub(r'(url\(#|href="#)', rf"\1{name}-", rest)
    for stand_in, colour in _PAGE_COLOURS.items():
        rest = rest.replace(stand_in, colour)
    return f'<svg {" ".join(attributes)} role="img" aria-label="{html.escape(says)}">{rest}'
