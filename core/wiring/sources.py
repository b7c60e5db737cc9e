"""Where a book's prices and the VIX come from, as the settings say."""

from __future__ import annotations

from zlib import crc32

from core.domain.state import Book
from core.ports import Clock, DailySource, Market
from core.settings import Settings


def market_of(settings: Settings, book: Book, clock: Clock) -> Market:
    market, venue = settings.market, settings.venue
    if market.source == "simulated":
        from core.adapters.simulated_market import SimulatedMarket

        seed = (market.seed + crc32(book.symbol.encode())) % 2**31  # each symbol a history of its own
        return SimulatedMarket(book.timeframe, seed=seed, structure=market.structure, clock=clock)
    if market.source == "files":
        from core.adapters.files_market import FilesMarket

        return FilesMarket(market.path, book.timeframe)
    if venue.id == "bitbank":
        from core.adapters.bitbank_market import URL, BitbankMarket

        return BitbankMarket(book.symbol, book.timeframe, clock, str(venue.urls.get("public", URL)))
    from core.adapters.ccxt_market import CcxtMarket

    return CcxtMarket(venue.id, book.symbol, book.timeframe, venue.urls, clock)


def vix_of(settings: Settings) -> list[tuple[str, DailySource]]:
    return [(name, _vix_source(settings, name)) for name in settings.vix.sources]


def _vix_source(settings: Settings, name: str) -> DailySource:
    if name == "yfinance":
        from core.adapters.yfinance_vix import YfinanceVix

        return YfinanceVix(days=settings.training.history_days + 60)
    if name == "cboe":
        from core.adapters.cboe_vix import CboeVix

        return CboeVix()
    if name == "file":
        from core.adapters.file_vix import FileVix

        return FileVix(settings.vix.path)
    from core.adapters.simulated_vix import SimulatedVix

    return SimulatedVix(settings.market.seed)
