"""For tests of the outer rooms: a small world in files, its settings in the environment, and the command."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from core.adapters.dir_models import DirModels
from core.adapters.files_market import to_parquet
from core.adapters.sqlite_state import SqliteState
from core.cli import main
from core.domain.bars import moment
from core.domain.daily import from_closes
from core.domain.ensemble import Artefact
from functions import http
from tests.road import HOUR, artefact, drawn, go_live, small_book

ROOT = Path(__file__).parents[2]
MAIN = ROOT / "main.py"
SMALL_TRAINING = {
    "HOURHAND__TRAINING__HISTORY_DAYS": "60",
    "HOURHAND__TRAINING__TREES": "15",
    "HOURHAND__TRAINING__FOREST_TREES": "15",
    "HOURHAND__TRAINING__FOLDS": "2",
}
Environ = dict[str, str]


def settings(folder: Path, **more: str) -> Environ:
    """The demo's settings on the simulated market, with all that is written in `folder`."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("HOURHAND")},
        "HOURHAND_CONFIG": str(ROOT / "config" / "demo.toml"),
        "HOURHAND__STATE__PATH": str(folder / "state.db"),
        "HOURHAND__MODELS__PATH": str(folder / "models"),
        "HOURHAND__FEATURES__SET": "core12",
        "PYTHONPATH": str(ROOT),
        **SMALL_TRAINING,
        **more,
    }


def of_files(folder: Path, **more: str) -> Environ:
    """The book `btc` on the drawn bars, kept in a parquet file."""
    bars = folder / "bars.parquet"
    bars.write_bytes(to_parquet(drawn()))
    own = {
        "HOURHAND__MARKET__SOURCE": "files",
        "HOURHAND__MARKET__PATH": str(bars),
        "HOURHAND__VIX__SOURCES": "[]",
        "HOURHAND__BOOKS": '[{id = "btc", symbol = "BTC/USDT"}]',
    }
    return settings(folder, **{**own, **more})


def state(environ: Mapping[str, str]) -> SqliteState:
    return SqliteState(environ["HOURHAND__STATE__PATH"])


def with_model(environ: Environ, symbol: str = "BTC/USDT") -> Environ:
    """The same world, in which a small model that was trained on the drawn bars is live for the book `btc`."""
    go_live(state(environ), DirModels(environ["HOURHAND__MODELS__PATH"]), small_book(), _model(symbol))
    return environ


@cache
def _model(symbol: str) -> Artefact:
    return artefact(
        replace(small_book(), symbol=symbol), drawn()[:1500], from_closes(np.empty(0, np.int64), np.empty(0))
    )


def closed(index: int) -> datetime:
    """When the drawn bar of that number has closed."""
    return moment(drawn().time[index]) + HOUR


@contextmanager
def surrounded(environ: Mapping[str, str]) -> Iterator[None]:
    """This process as a new one with `environ` would be: environment, log and the function's memory are put back."""
    before, root = dict(os.environ), logging.getLogger()
    handlers, level = [*root.handlers], root.level
    os.environ.clear()
    os.environ.update(environ)
    http.app.cache_clear()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        http.app.cache_clear()
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.captureWarnings(False)


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What --json printed: one object on one line, and nothing else."""
        (line,) = self.out.splitlines()
        found = json.loads(line)
        assert isinstance(found, dict)
        return found


def hourhand(environ: Mapping[str, str], *arguments: str | Path) -> Ran:
    out, err = io.StringIO(), io.StringIO()
    with surrounded(environ), redirect_stdout(out), redirect_stderr(err):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stopped:  # argparse
            code = int(stopped.code or 0)
    assert "Traceback" not in err.getvalue()
    return Ran(code, out.getvalue(), err.getvalue())
