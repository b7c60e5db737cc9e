"""What a venue remembers: every order in all its states, every execution, and the account after each of them."""

from __future__ import annotations

from datetime import datetime

from tests.venues.account import Account
from tests.venues.orders import Entry, VenueExecution, VenueOrder


class Memory:
    def __init__(self, at: datetime, account: Account) -> None:
        self.orders: dict[int, VenueOrder] = {}
        self.executions: list[VenueExecution] = []
        self.log: list[Entry] = []
        self._states: dict[int, list[tuple[datetime, VenueOrder]]] = {}
        self._accounts = [(at, account.copy())]

    def note(self, entry: Entry) -> None:
        order = entry.order
        self.log.append(entry)
        self.orders[order.id] = order
        self._states.setdefault(order.id, []).append((entry.at, order))

    def executed(self, done: VenueExecution, account: Account) -> None:
        self.executions.append(done)
        self._accounts.append((done.at, account.copy()))

    def resting(self) -> list[VenueOrder]:
        return [order for order in self.orders.values() if order.resting]

    def order(self, id: int, until: datetime) -> VenueOrder | None:
        """As it was at `until`; None: it was not there yet."""
        return next((order for at, order in reversed(self._states.get(id, [])) if at <= until), None)

    def listed(self, until: datetime) -> list[VenueOrder]:
        found = (self.order(number, until) for number in self.orders)
        return [order for order in found if order is not None]

    def account(self, until: datetime) -> Account:
        """A copy of the account as it was at `until`, or at the beginning."""
        return next((account for at, account in reversed(self._accounts) if at <= until), self._accounts[0][1]).copy()
