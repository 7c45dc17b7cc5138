"""Panels drawn by matplotlib, as SVG that is the same for the same numbers and says aloud what it shows."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from io import StringIO
from typing import TYPE_CHECKING, Any

from .picture import INK, PAPER, QUIET, element, escaped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINES = (("#a84300", "-", "o"), ("#00568f", "--", "s"), ("#00604a", ":", "^"), ("#6b3d8f", "-.", "D"))
"""Colours that differ in grey, too, each with dashes and a mark of its own."""

_DATED = ("Date", "Creator", "Format", "Type")


def drawn(
    size: tuple[float, float], draw: Callable[[Figure], None], *, title: str, alt: str, what: str
) -> str:
    """The SVG of a figure of `size` inches that `draw` fills; ModuleNotFoundError that names the extra if it cannot be."""
    needs("matplotlib", "matplotlib", what)
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    settings: dict[Any, Any] = {
        "svg.hashsalt": "funcpipe_rag",
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 11,
        "text.color": INK,
        "text.parse_math": False,
    }
    with rc_context(settings):
        figure = Figure(figsize=size, facecolor=PAPER)
        draw(figure)
        written = StringIO()
        canvas: Any = FigureCanvasSVG(figure)
        canvas.print_svg(written, metadata=dict.fromkeys(_DATED))
    return _spoken(written.getvalue(), title, alt)


def plain(panel: Axes, title: str) -> None:
    """What all panels have in common, once their lines are drawn: before, an axis that begins at 0 would end at 1."""
    panel.set_title(title, fontsize=11)
    panel.set_xlim(left=0)
    panel.tick_params(colors=QUIET)
    panel.grid(color="#e4e4e4")
    panel.spines[["top", "right"]].set_visible(False)


def needs(module: str, name: str, what: str) -> None:
    """ModuleNotFoundError, with the command that helps, unless a module is there."""
    if find_spec(module) is None:
        raise ModuleNotFoundError(
            f"{what} needs {name}, which is not installed: pip install 'funcpipe-rag[course]'", name=module
        )


def _spoken(document: str, title: str, alt: str) -> str:
    """matplotlib's SVG with a name and a description, and without what may stand in a file only."""
    begins = document.index("<svg")
    ends = document.index(">", begins)
    names = element("title", escaped(title)) + element("desc", escaped(alt))
    opening = f'{document[begins:ends]} role="img" aria-label="{escaped(alt)}">'
    return f"{opening}{names}{document[ends + 1 :]}"
