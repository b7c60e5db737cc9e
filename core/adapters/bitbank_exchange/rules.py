"""What bitbank demands of an order in one pair, and whether it takes any."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from core.adapters.bitbank_exchange import answers
from core.adapters.venue_line import item, name_of, number
from core.domain.orders import Rules
from core.ports import Clock, Unavailable

PAIRS_FOR: Final = timedelta(minutes=10)  # so the rules are asked for once a tick


class PairRules:
    """The rules of one pair. `ask(method, what, **params)` gives the `data` of an answer, or raises Unavailable."""

    def __init__(self, symbol: str, pair: str, margin: bool, clock: Clock, ask: Callable[..., dict[str, Any]]) -> None:
        self._symbol, self._name, self._margin, self._clock, self._ask = symbol, pair, margin, clock, ask
        self._known: tuple[datetime, dict[str, Any], list[str]] | None = None

    def rules(self) -> tuple[Rules, list[str]]:
        """The pair's rules, and why bitbank takes no new orders in it now."""
        (asked_at, row, halted), where = self._row(), f"bitbank, rules of {self._symbol}"
        what = "circuit breaker"
        mode = name_of(self._ask("publicGetPairCircuitBreakInfo", what, pair=self._name), "mode", f"bitbank, {what}")
        found = answers.rules(row, where, margin=self._margin)
        barred = answers.suspensions(row, mode, where, margin=self._margin)
        self._known = asked_at, row, halted  # only what makes sense is kept
        return found, [*barred, *halted]

    def _row(self) -> tuple[datetime, dict[str, Any], list[str]]:
        now = self._clock.now()
        if self._known is not None and timedelta() <= now - self._known[0] <= PAIRS_FOR:
            return self._known
        rows = self._rows("pairs", "marketsGetSpotPairs", "pairs")
        row = next((row for row in rows if isinstance(row, dict) and row.get("name") == self._name), None)
        if row is None:
            raise Unavailable(f"bitbank does not trade {self._symbol}; is the symbol right?")
        return now, row, self._halted(number(row, "unit_amount", f"bitbank, rules of {self._symbol}"))

    def _halted(self, least: Decimal) -> list[str]:
        """Why new orders make no sense while the exchange is as it is. Exits are tried all the same."""
        try:
            rows = self._rows("statuses", "privateGetSpotStatus", "state of the pairs")
            row = next((row for row in rows if isinstance(row, dict) and row.get("pair") == self._name), {})
            return answers.halted(row, least, f"bitbank, state of {self._symbol}")
        except Unavailable as failure:
            return [f"how the exchange stands is not known ({failure})"]

    def _rows(self, name: str, method: str, what: str) -> list[Any]:
        return item(self._ask(method, what), name, list, f"bitbank, {what}")
