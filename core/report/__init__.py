"""A run as one self-contained HTML page: charts drawn on the server as SVG, tables, and the last decision in words.

The page asks for nothing outside itself, and its content security policy forbids that it ever does. Geometry is made
in Python; markup, style and script are report.html, .css and .js. Horizontal places are shares of the width, vertical
ones pixels, so that one drawing serves a phone, a laptop and paper.
"""

from core.report.page import render
from core.report.report import Report, Trade

__all__ = ["Report", "Trade", "render"]
