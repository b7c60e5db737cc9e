"""`hourhand backtest` of several books on one account, with the limits that they share."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from datetime import timedelta

import numpy as np

from core.cli import WrongUse
from core.cli.backtest import forecasts_of, noted, ratio, summary, told
from core.cli.ground import asked_of
from core.cli.operate import Answer
from core.domain.backtest.several import Series, several
from core.domain.bars import YEAR, Floats, seconds
from core.domain.evidence.figures import ratios
from core.domain.evidence.resample import drawdown
from core.domain.state import Book
from core.flows.backtest import Ran
from core.ports import Document
from core.wiring import App


def together(app: App, books: Sequence[Book], arguments: Namespace) -> Answer:
    """Each book's figures, and the account's. Raises WrongUse for what is asked of one book only."""
    if arguments.prove or arguments.out is not None:
        raise WrongUse(f"--prove and --out are for one book: --book says which of {', '.join(b.id for b in books)}")
    grounds = [asked_of(app, book, arguments) for book in books]
    made = [(ground, forecasts_of(app, ground, arguments)) for ground in grounds]
    series = [
        Series(ground.book, ground.bars, f.p_up, ground.context, f.need, f.first, problems=f.problems)
        for ground, f in made
    ]
    hours = app.settings.research.resume_hours
    results = several(series, app.settings.account, timedelta(hours=hours) if hours else None)
    runs = [Ran(ground, forecasts, results[ground.book.id]) for ground, forecasts in made]
    for run in runs:
        noted(app, run, arguments)
    said: Document = {"books": [summary(run) for run in runs], "account": account(runs)}
    return said, _told(said)


def account(runs: Sequence[Ran]) -> Document:
    """What all of them made together: each book's equity at every close of any, and its capital before its first."""
    step = min(seconds(run.ground.book.timeframe) for run in runs)
    time = np.unique(np.concatenate([run.result.time + seconds(run.ground.book.timeframe) for run in runs]))
    total: Floats = np.sum([_worth(run, time) for run in runs], axis=0)
    capital = float(sum(run.ground.book.policy.capital for run in runs))
    returns = np.diff(total, prepend=capital) / np.concatenate([[capital], total[:-1]])
    return {
        "equity": {"first": capital, "last": float(total[-1])},
        "total_return": float(total[-1] / capital - 1.0),
        "sharpe_ratio": ratios(returns, 0.0, YEAR / step)[0],
        "max_drawdown": drawdown(returns),
    }


def _worth(run: Ran, time: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Floats:
    closes = run.result.time + seconds(run.ground.book.timeframe)
    worth = np.concatenate([[float(run.ground.book.policy.capital)], run.result.worth])
    found: Floats = worth[np.searchsorted(closes, time, "right")]
    return found


def _told(said: Document) -> str:
    all_ = said["account"]
    line = (
        f"All {len(said['books'])} books: return {all_['total_return']:+.2%}, Sharpe ratio "
        f"{ratio(all_['sharpe_ratio'])}, largest drawdown {all_['max_drawdown']:.2%}. A verdict is given of one book "
        f"at a time: --book."
    )
    return "\n".join([*(told(book) for book in said["books"]), line])
