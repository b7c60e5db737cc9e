"""Wiring: from settings to bound ports. The only room that names adapters, and the only one that asks what is live."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from msgspec.structs import replace

from core.adapters import json_log
from core.domain.orders import Holding
from core.domain.state import Book
from core.flows.gather import together
from core.ports import (
    Clock,
    Exchange,
    History,
    Market,
    Missing,
    ModelStore,
    Notifier,
    Other,
    Platform,
    Secrets,
    StateStore,
    Unavailable,
    Workers,
    World,
)
from core.settings import Settings, SettingsError, cautions, load
from core.wiring.clock import SystemClock
from core.wiring.sources import market_of, vix_of

if TYPE_CHECKING:
    from core.flows.train import Plan


EARLIEST = datetime(2009, 1, 3, tzinfo=UTC)  # of Bitcoin's first block
SKEW = timedelta(minutes=1)  # by which another clock may be ahead of ours


class BadTime(ValueError):
    """A time that no flow can be run for."""


class Untraded:
    """The Exchange of what does not trade: training must not be able to read the venue's keys."""

    def __getattr__(self, _: str) -> NoReturn:
        raise Unavailable("this function does not trade and has no keys of the venue: ask tick or guard")


log = logging.getLogger("hourhand.settings")


@dataclass
class App:
    """Settings, and the ports that they ask for; each port is made when it is first used."""

    settings: Settings
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    clock: Clock = field(default_factory=SystemClock)
    _worlds: dict[tuple[str, bool], World] = field(default_factory=dict)

    @cached_property
    def state(self) -> StateStore:
        chosen = self.settings.state
        if chosen.backend == "firestore":
            from core.adapters.firestore_state import FirestoreState

            return FirestoreState(chosen.project, chosen.database)
        from core.adapters.sqlite_state import SqliteState

        return SqliteState(_in_folder(Path(chosen.path)))

    @cached_property
    def models(self) -> ModelStore:
        chosen = self.settings.models
        if chosen.backend == "gcs":
            from core.adapters.gcs_models import GcsModels

            return GcsModels(chosen.bucket)
        from core.adapters.dir_models import DirModels

        return DirModels(_in_folder(Path(chosen.path)))

    @cached_property
    def archive(self) -> ModelStore:
        """Where price history, archived records and backups are kept: beside the models, or where less may write."""
        chosen = self.settings.models
        if chosen.backend != "gcs" or chosen.history_bucket in ("", chosen.bucket):
            return self.models
        from core.adapters.gcs_models import GcsModels

        return GcsModels(chosen.history_bucket)

    @cached_property
    def platform(self) -> Platform | None:
        """Where the functions are deployed; None: on this machine."""
        chosen = self.settings.deployment
        if not chosen.project:
            return None
        from core.adapters.gcp_platform import GcpPlatform

        return GcpPlatform(chosen.project, chosen.name, chosen.regions, chosen.sources)

    @cached_property
    def results(self) -> ModelStore:
        """Where research keeps what it has computed. Raises SettingsError."""
        from core.adapters.dir_models import DirModels

        return DirModels(_in_folder(Path(self.settings.research.path)))

    @staticmethod
    def workers(cluster: str = "", cores: int | None = None) -> Workers:
        """This machine's cores, or the Dask cluster at `cluster`."""
        from core.adapters.joblib_workers import JoblibWorkers

        return JoblibWorkers(cores, cluster)

    @property
    def books(self) -> list[Book]:
        return list(self.settings.books)

    def book(self, book_id: str) -> Book:
        return self.settings.book(book_id)

    def time(self, at: datetime | None) -> datetime:
        """`at`, else now. Raises BadTime: a tick ahead of its time would put its book beyond every bar until then."""
        now = self.clock.now()
        if at is not None and not EARLIEST <= at <= now + SKEW:
            raise BadTime(
                f"{at.isoformat()} is no time to run for: give one from {EARLIEST:%Y-%m-%d} on that is not ahead of "
                f"now, {now:%Y-%m-%dT%H:%M:%SZ}"
            )
        return at or now

    def world(self, book_id: str, *, trading: bool = True) -> World:
        """The ports of one book; the same object while this process lives, so that its cache stays warm. Without
        `trading` its exchange refuses everything, and no key is asked for.

        Raises SettingsError: there can be no such port.
        """
        if (book_id, trading) not in self._worlds:
            try:
                self._worlds[book_id, trading] = self._world(self.book(book_id), trading)
            except SettingsError:
                raise
            except ValueError as failure:  # a market that the venue's adapter cannot have
                raise SettingsError(f"book {book_id}: {failure}") from failure
        return self._worlds[book_id, trading]

    def _world(self, book: Book, trading: bool) -> World:
        settings = self.settings
        return World(
            clock=self.clock,
            market=market_of(self.settings, book, self.clock),
            vix=vix_of(self.settings),
            exchange=self._exchange(book) if trading else cast(Exchange, Untraded()),
            state=self.state,
            models=self.models,
            history=self._history(book),
            lease_s=settings.tick.lease_s,
            patience_s=settings.tick.patience_s,
            vix_every_s=round(settings.vix.refresh_hours * 3600),
            minutes=self._minutes(book),
            books=tuple(self.books),
            limits=settings.account,
            together=together,
            **self._outside(book),
        )

    def _outside(self, book: Book) -> dict[str, Any]:
        """What features look at beside the book's own market and the VIX, as fields of World."""
        from core.wiring.outside import other_symbol, past_and_recent

        if book.features != "full101":
            return {}
        beside = replace(book, symbol=self.settings.outside.other or other_symbol(book.symbol))
        return {**past_and_recent(self.settings, book), "other": self._other(beside)}

    def _other(self, beside: Book) -> Other | None:
        """The market that features compare the book's own with; None: with files, none was given."""
        if self.settings.market.source != "files":
            return Other(beside.symbol, market_of(self.settings, beside, self.clock), self._history(beside))
        if not self.settings.outside.other_path:
            return None
        from core.adapters.files_market import FilesMarket

        return Other(beside.symbol, FilesMarket(self.settings.outside.other_path, beside.timeframe))

    def _minutes(self, book: Book) -> Market | None:
        """The same market by the minute, where there is one: files and the simulation have bars of one length."""
        if self.settings.market.source != "venue":
            return None
        return market_of(self.settings, replace(book, timeframe="1m"), self.clock)

    def no_go(self) -> list[str]:
        """Why real money may not begin to be traded: of each book that has never ticked, what hourhand check marks as
        NO-GO. A book that has begun is never kept from its exits."""
        if self.settings.exchange.mode != "live":
            return []
        from core.flows.check import check
        from core.flows.status import status

        begun = {entry["id"] for entry in status(self.state, self.books)["books"] if entry["bar"]}
        new = [book for book in self.books if book.id not in begun]
        found = [(book.id, finding) for book in new for finding in check(self.world(book.id), book)]
        return [f"{book}, {one.name}: {one.said}" for book, one in found if one.verdict == "no_go"]

    @cached_property
    def secrets(self) -> Secrets:
        if self.settings.secrets.backend == "gcp":
            from core.adapters.gcp_secrets import GcpSecrets

            return GcpSecrets(self.settings.state.project, prefix=self.settings.secrets.prefix)
        from core.adapters.env_secrets import EnvSecrets

        return EnvSecrets(self.environ)

    def _exchange(self, book: Book) -> Exchange:
        if self.settings.exchange.mode == "live":
            exchange = self._live(book)
            for note in exchange.traits.notes:
                log.info("book %s on %s: %s", book.id, self.settings.venue.id, note)
            if book.policy.short and not exchange.traits.short:
                venue = self.settings.venue.id
                raise SettingsError(f"book {book.id}: {venue} cannot go short here: set short = false in its policy")
            return exchange
        if book.policy.short and self.settings.venue.id == "bitbank" and not self.settings.exchange.margin:
            raise SettingsError(f"book {book.id}: on spot nothing is sold short: set short = false in its policy")
        from core.adapters.paper_exchange import PaperExchange

        return PaperExchange(self.state, Holding(cash=book.policy.capital), book.rules, book.costs)

    def _live(self, book: Book) -> Exchange:
        venue, chosen = self.settings.venue, self.settings.exchange
        key, secret = self._secret("VENUE_API_KEY"), self._secret("VENUE_API_SECRET")
        if venue.id == "bitbank":
            from core.adapters.bitbank_exchange import BitbankExchange

            return BitbankExchange(book.symbol, key, secret, self.clock, venue.urls, margin=chosen.margin)
        from core.adapters.ccxt_exchange import CcxtExchange

        password = self._secret("VENUE_API_PASSWORD") if venue.id in ("okx", "bitget") else ""
        return CcxtExchange(
            venue.id, book.symbol, key, secret, password, self.clock, venue.urls,
            sandbox=chosen.sandbox, rules=book.rules,
        )  # fmt: skip

    @cached_property
    def notifier(self) -> Notifier:
        """Where a person is told. Raises SettingsError."""
        if self.settings.alerts.channel == "log":
            from core.adapters.log_notifier import LogNotifier

            return LogNotifier()
        from core.adapters.discord_notifier import DiscordNotifier

        url = self._secret("DISCORD_WEBHOOK_URL", "[alerts] channel = discord")
        try:
            return DiscordNotifier(url, self.clock)
        except ValueError as failure:
            raise SettingsError(f"[alerts] channel = discord: {failure}") from None

    def _secret(self, name: str, what: str = "[exchange] mode = live") -> str:
        """Raises SettingsError: without it there is nothing to start."""
        try:
            value = self.secrets.get(name)
        except (Missing, Unavailable) as failure:
            raise SettingsError(f"{what}: {failure}") from None
        json_log.redact([value])
        return value

    def _history(self, book: Book) -> History | None:
        if self.settings.market.source != "venue":
            return None
        from core.adapters.files_market import from_parquet, to_parquet
        from core.adapters.parquet_history import ParquetHistory

        market = f"{self.settings.venue.id}/{book.symbol.replace('/', '_').lower()}/{book.timeframe}"
        return ParquetHistory(self.archive, market, to_parquet, from_parquet)

    @staticmethod
    def simulated_structure() -> str:
        """What there is to learn in the simulated market, in a sentence."""
        from core.adapters.simulated_market import STRUCTURE

        return STRUCTURE

    def answering(self, headers: json_log.Headers) -> AbstractContextManager[None]:
        """While this lasts, log lines carry the trace of the request with these headers."""
        return json_log.context(headers, self.settings.log.project)

    def plan(self) -> Plan:
        """How to train, as the settings say."""
        from core.flows.train import Plan

        training = self.settings.training
        return Plan(
            training=training.learning(),
            gate=training.gate(),
            history_days=training.history_days,
            publish_anyway=training.publish_anyway,
            git_commit=self.settings.deployment.commit,
        )


def _in_folder(path: Path) -> Path:
    """`path`, with the folder that it lies in made. Raises SettingsError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise SettingsError(f"{path.parent}: cannot be made ({failure.strerror}); set another path") from None
    return path


def app(path: Path | None, environ: Mapping[str, str]) -> App:
    """Raises SettingsError."""
    return App(load(path, environ), environ)


def app_of_function() -> App:
    """For a process that serves a function: settings from the environment, logs as Cloud Logging reads them.

    Raises SettingsError, when logs are set up already.
    """
    json_log.setup()
    made = app(None, os.environ)
    json_log.setup(made.settings.log.level)
    for caution in cautions(made.settings):
        log.warning(caution)
    return made
