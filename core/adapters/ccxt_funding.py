"""Funding rates of a perpetual future, from any venue of which ccxt knows their history."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np

from core.domain.bars import epoch
from core.domain.daily import DAY, Daily
from core.domain.outside import FUNDING_STEP, SERIES
from core.ports import Unavailable

PAGE = 100  # settlements per request, which every venue gives
TIMEOUT_MS = 6_000


class CcxtFunding:
    """ports.DailySource: the settlements of the last `days`. `urls` is merged into ccxt's `urls['api']`: testnets,
    mirrors, tests; `exchange` stands in for ccxt's own object."""

    def __init__(
        self, venue_id: str, symbol: str, days: int = 30, urls: Mapping[str, Any] | None = None, exchange: Any = None
    ) -> None:
        self._venue_id, self._symbol, self._days, self._urls = venue_id, symbol, days, dict(urls or {})
        self._given = exchange

    def history(self, now: datetime) -> Daily:
        """The rates settled and published by `now`. Raises Unavailable: no answer, or no such history."""
        import ccxt

        at, said = epoch(now), f"funding of {self._symbol} from {self._venue_id}"
        try:
            rates = self._rates(at - self._days * DAY, at)
        except (ccxt.BaseError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise Unavailable(f"{said}: {type(error).__name__}: {str(error)[:200]}") from error
        times, values = np.array(list(rates), np.int64), np.array(list(rates.values()), np.float64)
        found = SERIES["funding"].series(times, values)
        known = found.published <= at
        if not known.any():
            raise Unavailable(f"{said}: no rate settled by {now.isoformat()} in the answer")
        return Daily(found.published[known], found.value[known])

    def _rates(self, first: int, end: int) -> dict[int, float]:
        """By settlement (epoch seconds). Pages from `first` on; an empty one is a stretch before the market was."""
        rates: dict[int, float] = {}
        while first <= end:
            page = self._exchange.fetch_funding_rate_history(self._symbol, first * 1000, PAGE)
            new = {row["timestamp"] // 1000: float(row["fundingRate"]) for row in page}
            new = {time: rate for time, rate in new.items() if first <= time <= end}
            rates |= new
            first = max(new) + 60 if new else first + PAGE * FUNDING_STEP
        return rates

    @cached_property
    def _exchange(self) -> Any:
        if self._given is not None:
            return self._given
        import ccxt

        if self._venue_id not in ccxt.exchanges:
            raise ValueError(f"ccxt knows no venue {self._venue_id!r}")
        exchange = getattr(ccxt, self._venue_id)({"timeout": TIMEOUT_MS, "enableRateLimit": True})
        if not exchange.has.get("fetchFundingRateHistory"):
            raise ValueError("ccxt knows no history of funding rates there")
        exchange.has["fetchCurrencies"] = False
        api = exchange.urls["api"]
        exchange.urls["api"] = {**api, **self._urls} if isinstance(api, Mapping) else self._urls or api
        return exchange
