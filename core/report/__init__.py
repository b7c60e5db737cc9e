"""A run as one self-contained HTML page: charts drawn on the server as SVG, tables, and the verdict in words.

The page asks for nothing outside itself, and its content security policy forbids that it ever does. Geometry is made
in Python; markup, style and script are the .html, .css and .js files here. Horizontal places are shares of the width,
vertical ones pixels, so that one drawing serves a phone, a laptop and paper. A Report tells of a walk of ticks, a Study
of a run of research.
"""

from core.report.compare import compare
from core.report.page import render as _of_ticks
from core.report.report import Report, Trade
from core.report.sheet import render_study
from core.report.store import read, write
from core.report.study import Study


def render(told: Report | Study) -> str:
    """The whole document; equal input gives equal documents. Raises ValueError when columns do not fit together."""
    return render_study(told) if isinstance(told, Study) else _of_ticks(told)


__all__ = ["Report", "Study", "Trade", "compare", "read", "render", "write"]
