"""What can be set: one struct per section of the settings. Meaning, unit and safe range of each key, and its default
once more, are in config/default.toml; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from core.domain.fills import Costs
from core.domain.orders import Rules
from core.domain.risk import Limits, Policy
from core.domain.state import Book

if TYPE_CHECKING:
    from core.domain.ensemble import Gate, Training
    from core.domain.retention import Table

BOOK_ID = "lower-case letters, digits and hyphens, at most 41, starting with a letter or digit (btc-jpy-1h)"
SYMBOL = "a symbol as ccxt writes it (BTC/JPY, BTC/USDT:USDT)"
TIMEFRAME = "a count and one of m, h, d (1h)"

BookId = Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9-]{0,40}\Z", description=BOOK_ID)]
Symbol = Annotated[str, Meta(pattern=r"\A[A-Z0-9]+/[A-Z0-9]+(:[A-Z0-9]+)?\Z", description=SYMBOL)]
Timeframe = Annotated[str, Meta(pattern=r"\A[1-9][0-9]{0,3}[mhd]\Z", description=TIMEFRAME)]
VenueId = Annotated[str, Meta(pattern=r"\A[a-z0-9_]+\Z", description="a venue's name as ccxt writes it (bitbank)")]
Text = Annotated[str, Meta(min_length=1)]
Seed = Annotated[int, Meta(ge=0, lt=2**31)]
Level = Literal["safe", "moderate"]


class Venue(Struct, frozen=True):
    id: VenueId = "bitbank"
    urls: dict[str, str | dict[str, str]] = {}


class MarketData(Struct, frozen=True):
    source: Literal["venue", "files", "simulated"] = "venue"
    path: str = ""
    seed: Seed = 7
    structure: Annotated[float, Meta(ge=0.0, le=3.0)] = 1.0


class Vix(Struct, frozen=True):
    sources: tuple[Literal["yfinance", "cboe", "file", "simulated"], ...] = ("yfinance", "cboe")
    path: str = ""
    max_age_days: Annotated[float, Meta(gt=0.0, le=30.0)] = 4.0
    refresh_hours: Annotated[float, Meta(ge=0.0, le=48.0)] = 6.0


class OutsideData(Struct, frozen=True, kw_only=True):
    """[outside]: what full101 alone looks at."""

    other: Symbol | Literal[""] = ""
    other_path: str = ""
    dxy: tuple[Literal["yfinance", "file"], ...] = ("yfinance",)
    us10y: tuple[Literal["fred", "yfinance", "file"], ...] = ("fred", "yfinance")
    usdjpy: tuple[Literal["yfinance", "file"], ...] = ("yfinance",)
    fear_greed: tuple[Literal["alternative", "file"], ...] = ("alternative",)
    funding: tuple[Literal["venue", "file"], ...] = ("venue",)
    funding_venue: VenueId | Literal[""] = ""
    funding_symbol: Symbol | Literal[""] = ""
    path: str = ""
    max_age_days: Annotated[float, Meta(gt=0.0, le=30.0)] = 4.0
    fear_greed_max_age_days: Annotated[float, Meta(gt=0.0, le=30.0)] = 2.0
    funding_max_age_days: Annotated[float, Meta(gt=0.0, le=30.0)] = 1.0


class ExchangeMode(Struct, frozen=True):
    mode: Literal["paper", "live"] = "paper"
    margin: bool = True
    sandbox: bool = False


class Features(Struct, frozen=True):
    set: Literal["core12", "vix53", "full101"] = "vix53"


class TrainingPlan(Struct, frozen=True):
    """[training]: how much past, and what becomes of a refused model; the rest is built only when it is asked for,
    since a tick never needs it and need not pay for its import."""

    history_days: Annotated[int, Meta(ge=30, le=5000)] = 730
    publish_anyway: bool = False
    learnt: Callable[[], tuple[Any, Any]] | None = None

    def learning(self) -> Training:
        """How to fit: the other keys of [training]."""
        learning: Training = self._learnt()[0]
        return learning

    def gate(self) -> Gate:
        """[gate]: what a model must reach to be published."""
        gate: Gate = self._learnt()[1]
        return gate

    def _learnt(self) -> tuple[Any, Any]:
        if self.learnt:
            return self.learnt()
        from core.domain.ensemble import Gate, Training

        return Training(), Gate()


class State(Struct, frozen=True):
    backend: Literal["sqlite", "firestore"] = "sqlite"
    path: Text = "var/state.db"
    project: str = ""
    database: Text = "(default)"


class Models(Struct, frozen=True):
    backend: Literal["dir", "gcs"] = "dir"
    path: Text = "var/models"
    bucket: str = ""
    history_bucket: str = ""


class Secrets(Struct, frozen=True):
    backend: Literal["env", "gcp"] = "env"
    prefix: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{0,100}\Z")] = ""


class Tick(Struct, frozen=True):
    max_lateness_s: Annotated[int, Meta(ge=0, le=86400)] = 900
    lease_s: Annotated[int, Meta(ge=10, le=3600)] = 120
    patience_s: Annotated[int, Meta(ge=0, le=300)] = 20


class Guard(Struct, frozen=True):
    overdue_s: Annotated[int, Meta(ge=60, le=86400)] = 900


class Alerts(Struct, frozen=True):
    channel: Literal["discord", "log"] = "log"
    repeat_hours: Annotated[float, Meta(gt=0.0, le=168.0)] = 1.0


class Cleanup(Struct, frozen=True, kw_only=True):
    """[cleanup]: what is kept, and for how long. What it counts and what it never touches: core.domain.retention."""

    level: Level = "safe"
    record_days: Annotated[int, Meta(ge=7, le=3650)] = 90
    unneeded_days: Annotated[int, Meta(ge=1, le=365)] = 7
    backup_days: Annotated[int, Meta(ge=1, le=366)] = 30
    backup_weeks: Annotated[int, Meta(ge=0, le=520)] = 12
    backup_months: Annotated[int, Meta(ge=0, le=240)] = 12
    backup_years: Annotated[int, Meta(ge=0, le=50)] = 7
    images: Annotated[int, Meta(ge=2, le=100)] = 5
    revisions: Annotated[int, Meta(ge=2, le=100)] = 3
    source_days: Annotated[int, Meta(ge=1, le=3650)] = 30
    system_log_days: Annotated[int, Meta(ge=1, le=3650)] = 30
    debug_log_days: Annotated[int, Meta(ge=1, le=3650)] = 7
    audit_log_days: Annotated[int, Meta(ge=1, le=3650)] = 365

    def table(self, level: Level | None = None) -> Table:
        """What cleanup itself goes by; `level`, if any, in place of the one that is set."""
        from core.domain.retention import Table

        kept = {name: getattr(self, name) for name in Table.__struct_fields__}
        return Table(**kept | ({"level": level} if level else {}))


class Deployment(Struct, frozen=True, kw_only=True):
    """[deployment]: where cleanup looks for what deploying leaves behind. Infrastructure sets it."""

    project: str = ""
    name: str = ""
    regions: tuple[str, ...] = ()
    sources: str = ""
    commit: str = "unknown"


class Research(Struct, frozen=True, kw_only=True):
    path: Text = "var/research"
    train_days: Annotated[int, Meta(ge=20, le=2000)] = 180
    test_days: Annotated[int, Meta(ge=1, le=365)] = 10
    untouched_days: Annotated[int, Meta(ge=0, le=2000)] = 180
    resume_hours: Annotated[float, Meta(ge=0.0, le=8760.0)] = 168.0
    resamples: Annotated[int, Meta(ge=100, le=100_000)] = 1000
    random_runs: Annotated[int, Meta(ge=0, le=10_000)] = 200
    seed: Seed = 1


class Log(Struct, frozen=True):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    project: str = ""


class Serve(Struct, frozen=True):
    host: Text = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080


class BookKeys(Struct, frozen=True, kw_only=True):
    """What a row of [[books]] holds beside its `policy`, which is laid over [policy]."""

    id: BookId
    symbol: Symbol
    timeframe: Timeframe = "1h"


class Settings(Struct, frozen=True, kw_only=True):
    """Everything that can be set, checked. Paths are as written: relative ones count from the current directory."""

    venue: Venue = Venue()
    market: MarketData = MarketData()
    vix: Vix = Vix()
    outside: OutsideData = OutsideData()
    exchange: ExchangeMode = ExchangeMode()
    paper: Costs = Costs()
    rules: Rules = Rules()
    policy: Policy = Policy()
    account: Limits = Limits()
    features: Features = Features()
    training: TrainingPlan = TrainingPlan()
    state: State = State()
    models: Models = Models()
    secrets: Secrets = Secrets()
    tick: Tick = Tick()
    guard: Guard = Guard()
    alerts: Alerts = Alerts()
    cleanup: Cleanup = Cleanup()
    deployment: Deployment = Deployment()
    research: Research = Research()
    log: Log = Log()
    serve: Serve = Serve()
    books: tuple[Book, ...] = (Book(id="btc-jpy-1h", symbol="BTC/JPY", features="vix53", max_lateness_s=900),)

    def book(self, name: str) -> Book:
        """Raises KeyError with a sentence when there is no such book."""
        for book in self.books:
            if book.id == name:
                return book
        raise KeyError(f"there is no book {name!r}: the settings have {', '.join(book.id for book in self.books)}")


def _between(low: str, high: str) -> tuple[Decimal, Decimal]:
    return Decimal(low), Decimal(high)


# msgspec has no ranges for Decimal; these are what Meta(ge, le) is for the others.
LIMITS: Final[dict[tuple[Any, str], tuple[Decimal, Decimal]]] = {
    (Costs, "slippage_bps"): _between("0", "1000"),
    (Costs, "stop_slippage_bps"): _between("0", "1000"),
    (Costs, "volume_share"): _between("0", "1"),
    (Costs, "funding_bps"): _between("-100", "100"),
    (Rules, "lot"): _between("1e-12", "1e9"),
    (Rules, "tick"): _between("1e-12", "1e9"),
    (Rules, "minimum_amount"): _between("0", "1e9"),
    (Rules, "minimum_notional"): _between("0", "1e9"),
    (Rules, "taker"): _between("-0.01", "0.05"),
    (Rules, "maker"): _between("-0.01", "0.05"),
    (Rules, "interest_per_day"): _between("0", "0.05"),
    (Rules, "leverage"): _between("1", "100"),
    (Rules, "maintenance"): _between("0", "0.9"),
    (Policy, "capital"): _between("0.01", "1e12"),
    (Policy, "leverage"): _between("0.01", "100"),
    (Policy, "risk_per_trade"): _between("0.0001", "0.2"),
}
