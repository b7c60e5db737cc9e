"""The templates beside this file, and what a page needs whoever fills it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from core.report.charts import Chart
from core.report.scales import Axis

if TYPE_CHECKING:
    from jinja2 import Environment

HERE: Final = Path(__file__).parent
HOVER_POINTS: Final = 1500


def page(template: str, styles: Sequence[str], **context: Any) -> str:
    """The document of `template`, with its styles and the script inside of it."""
    style = "".join((HERE / f"{name}.css").read_text("utf-8") for name in styles)
    script = (HERE / "report.js").read_text("utf-8")
    return _environment().get_template(template).render(style=style, script=script, **context)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["sha256"] = _sha256
    return environment


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def hover(axis: Axis, drawn: Sequence[Chart], points: int = HOVER_POINTS) -> str:
    """JSON for the read-out: the values of up to `points` bars, evenly spread, exact for the bar that they name.

    What is not finite becomes null.
    """
    shown = np.unique(np.linspace(0, len(axis.time) - 1, min(len(axis.time), points)).round().astype(np.intp))
    lines = {
        line.key: {
            "decimals": line.decimals,
            "percent": line.percent,
            "low": chart.scale.low,
            "high": chart.scale.high,
            "log": chart.scale.log,
            "values": [round(v * (100 if line.percent else 1), line.decimals) for v in line.values[shown].tolist()],
        }
        for chart in drawn
        for line in chart.lines
    }
    data = {"start": axis.start, "end": axis.end, "time": axis.time[shown].tolist(), "lines": lines}
    return msgspec.json.encode(data).decode().replace("<", "\\u003c")
