"""The sources of what the feature set full101 alone looks at."""

from __future__ import annotations

from typing import Any

from core.domain.outside import other_symbol
from core.domain.state import Book
from core.ports import DailySource
from core.settings import Settings

__all__ = ["other_symbol", "past_and_recent"]

RECENT_DAYS = 120  # of a series, for a tick


def past_and_recent(settings: Settings, book: Book) -> dict[str, Any]:
    """The series as fields of World: for a tick, and for training."""
    chosen, days = settings.outside, settings.training.history_days + 60
    ages = dict.fromkeys(("dxy", "us10y", "usdjpy"), chosen.max_age_days)
    ages |= {"fear_greed": chosen.fear_greed_max_age_days, "funding": chosen.funding_max_age_days}
    names = {name: getattr(chosen, name) for name in ages}
    if not chosen.funding_symbol and ":" not in book.symbol:  # funding is a perpetual future's
        names["funding"] = [which for which in chosen.funding if which != "venue"]
    recent, past = (
        {name: [(which, _series(settings, book, name, which, span)) for which in names[name]] for name in names}
        for span in (RECENT_DAYS, days)
    )
    limits = {name: round(age * 86400) for name, age in ages.items()}
    return {"outside": recent, "outside_past": past, "outside_max_age": limits}


def _series(settings: Settings, book: Book, name: str, source: str, days: int) -> DailySource:
    chosen, venue = settings.outside, settings.venue
    if source == "file":
        from core.adapters.file_series import FileSeries

        return FileSeries(chosen.path, name)
    if source == "fred":
        from core.adapters.fred_us10y import FredUs10y

        return FredUs10y(days)
    if source == "alternative":
        from core.adapters.alternative_fear_greed import AlternativeFearGreed

        return AlternativeFearGreed(days)
    if source == "venue":
        from core.adapters.ccxt_funding import CcxtFunding

        urls = {} if chosen.funding_venue else venue.urls
        span = min(days, 30) if days == RECENT_DAYS else days  # three a day
        return CcxtFunding(chosen.funding_venue or venue.id, chosen.funding_symbol or book.symbol, span, urls)
    from core.adapters.yfinance_macro import YfinanceMacro

    return YfinanceMacro(name, days)
